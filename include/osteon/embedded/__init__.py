"""The embedded services. Images that hold none of them lack what these modules import."""

STATE = "stack.json"
"""In the state folder, where embedded services were once started."""
