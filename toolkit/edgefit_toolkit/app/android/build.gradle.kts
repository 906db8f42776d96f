plugins {
    alias(libs.plugins.android.application) apply false
    alias(libs.plugins.android.ai.pack) apply false
    alias(libs.plugins.kotlin.android) apply false
}
