// The model, delivered by Google Play with the app (Play for On-device AI): its own part of the app bundle.
plugins { alias(libs.plugins.android.ai.pack) }

aiPack {
    packName = "model_pack"
    dynamicDelivery { deliveryType = "install-time" }
}
