"""A publisher of generated radiographs, so that the pipeline can be run and tested without anybody's data."""

from osteon.sources.phantom.anatomy import PARTS
from osteon.sources.phantom.drawing import draw
from osteon.sources.phantom.source import Defects, Injected, PhantomConfig, PhantomSource

__all__ = ["PARTS", "Defects", "Injected", "PhantomConfig", "PhantomSource", "draw"]
