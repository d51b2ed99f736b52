"""The MLflow registry: what is logged there, which versions there are, and which one is champion."""
