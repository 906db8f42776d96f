plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.edgefit.nameit"
    compileSdk = 35

    defaultConfig {
        applicationId = "org.edgefit.nameit"
        minSdk = 28 // ImageDecoder turns photographs upright
        targetSdk = 35
        versionCode = 1
        versionName = "1.0"
    }

    buildFeatures { viewBinding = true }

    assetPacks += ":model_pack" // of an app bundle, for Google Play
    sourceSets.getByName("debug").assets.srcDir("../model_pack/src/main/assets") // an APK has no packs

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    implementation(libs.litert)
    implementation(libs.camera.camera2)
    implementation(libs.camera.lifecycle)
    implementation(libs.camera.view)
    implementation(libs.activity)
    implementation(libs.appcompat)
    implementation(libs.material)
    testImplementation(libs.junit)
}
