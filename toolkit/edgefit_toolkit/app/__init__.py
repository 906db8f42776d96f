"""The app bundle: the model with everything that an app needs around it, and the apps themselves."""

from edgefit_toolkit.app.assemble import App, AppBundle, bundle

__all__ = ["App", "AppBundle", "bundle"]
