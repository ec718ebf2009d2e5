"""Images of modules: built by the leader's Docker from a module's folder, and pushed for all nodes to pull."""

from aioparcs.build.base import PYTHON, build_base
from aioparcs.build.image import BuiltImage, build
from aioparcs.build.many import start_builds
from aioparcs.modules.images import base_image, image_name

__all__ = ["PYTHON", "BuiltImage", "base_image", "build", "build_base", "image_name", "start_builds"]
