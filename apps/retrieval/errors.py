"""The one error of a gallery that cannot be used as asked."""

from __future__ import annotations


class GalleryError(ValueError):
    """The gallery is damaged, half written, too new, busy, or was built with another tower."""
