"""Is a converted model still the model that was trained?"""
