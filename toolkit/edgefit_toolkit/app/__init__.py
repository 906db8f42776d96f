"""The app bundle: the model with everything that an app needs around it, and the apps themselves."""

from edgefit_toolkit.app.assemble import App, Bundle, bundle

__all__ = ["App", "Bundle", "bundle"]
