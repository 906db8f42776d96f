"""How networks are trained and scaled, compared on photographs."""
