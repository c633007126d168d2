"""Picture search: a gallery on disk, searched by pictures, and its evaluation."""

from mlcd.apps.retrieval.errors import GalleryError
from mlcd.apps.retrieval.gallery import AddReport, Gallery, Hit

__all__ = ["AddReport", "Gallery", "GalleryError", "Hit"]
