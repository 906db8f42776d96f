"""Java stubs of what the Android app uses of Android, AndroidX, CameraX and LiteRT: enough to type-check its Kotlin.

Signatures follow the public documentation; they prove that the app's own code fits together and calls what exists with
the right number and kinds of arguments as written down here, not that it runs on a phone.
"""

# ruff: noqa: E501  (a method a line reads better than its parts)

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

ANDROID = "{http://schemas.android.com/apk/res/android}"
PLATFORM = {  # class -> its body, in one line each; nested classes stand inside
    "android.Manifest": 'public static class permission { public static final String CAMERA = "c"; }',
    "android.R": "public static class layout { public static final int simple_spinner_dropdown_item = 1; }",
    "android.content.ContentResolver": "",
    "android.content.Context": """public android.content.res.AssetManager getAssets() { return null; }
        public ContentResolver getContentResolver() { return null; }
        public String getString(int id, Object... of) { return null; }""",
    "android.content.pm.PackageManager": "public static final int PERMISSION_GRANTED = 0;",
    "android.content.res.AssetManager": """
        public java.io.InputStream open(String n) throws java.io.IOException { return null; }""",
    "android.graphics.Bitmap": """public int getWidth() { return 0; } public int getHeight() { return 0; }
        public void getPixels(int[] p, int offset, int stride, int x, int y, int w, int h) {}""",
    "android.graphics.ImageDecoder": """public static final int ALLOCATOR_SOFTWARE = 1; public int getAllocator() { return 0; } public void setAllocator(int a) {}
        public static class Source {} public static class ImageInfo {}
        public interface OnHeaderDecodedListener { void onHeaderDecoded(ImageDecoder d, ImageInfo i, Source s); }
        public static Source createSource(android.content.ContentResolver r, android.net.Uri u) { return null; }
        public static Bitmap decodeBitmap(Source s, OnHeaderDecodedListener l) throws java.io.IOException { return null; }
        """,
    "android.icu.text.DateFormatSymbols": """public static DateFormatSymbols getInstance() { return null; }
        public String[] getMonths() { return null; }""",
    "android.net.Uri": "",
    "android.os.Bundle": "",
    "android.os.SystemClock": "public static long elapsedRealtimeNanos() { return 0; }",
    "android.view.LayoutInflater": "",
    "android.view.View": """public static final int VISIBLE = 0, INVISIBLE = 4, GONE = 8;
        public int getVisibility() { return 0; } public void setVisibility(int v) {}
        public interface OnClickListener { void onClick(View v); } public void setOnClickListener(OnClickListener l) {}""",
    "android.widget.AdapterView<T> extends android.view.View": """
        public interface OnItemSelectedListener { void onItemSelected(AdapterView<?> p, android.view.View v, int at, long id);
            void onNothingSelected(AdapterView<?> p); }
        public OnItemSelectedListener getOnItemSelectedListener() { return null; }
        public void setOnItemSelectedListener(OnItemSelectedListener l) {}""",
    "android.widget.ArrayAdapter<T>": "public ArrayAdapter(android.content.Context c, int id, java.util.List<T> o) {}",
    "android.widget.FrameLayout extends android.view.View": "",
    "android.widget.ImageView extends android.view.View": "public void setImageBitmap(android.graphics.Bitmap b) {}",
    "android.widget.LinearLayout extends android.view.View": "",
    "android.widget.ScrollView extends android.view.View": "",
    "android.widget.Spinner extends AdapterView<ArrayAdapter<?>>": """
        public ArrayAdapter<?> getAdapter() { return null; } public void setAdapter(ArrayAdapter<?> a) {}""",
    "android.widget.TextView extends android.view.View": """public CharSequence getText() { return null; }
        public void setText(CharSequence t) {} public void setText(int id) {}""",
    "androidx.activity.result.ActivityResultLauncher<I>": "public void launch(I input) {}",
    "androidx.activity.result.PickVisualMediaRequest": """
        public PickVisualMediaRequest(androidx.activity.result.contract.ActivityResultContracts.PickVisualMedia.Type t) {}""",
    "androidx.activity.result.contract.ActivityResultContracts": """public static class Contract<I, O> {}
        public static class RequestPermission extends Contract<String, Boolean> {}
        public static class PickVisualMedia extends Contract<androidx.activity.result.PickVisualMediaRequest, android.net.Uri> {
            public static class Type {} public static final Type ImageOnly = null; }""",
    "androidx.appcompat.app.AppCompatActivity extends android.content.Context": """
        public interface Callback<O> { void onActivityResult(O result); }
        public <I, O> androidx.activity.result.ActivityResultLauncher<I> registerForActivityResult(
            androidx.activity.result.contract.ActivityResultContracts.Contract<I, O> c, Callback<O> b) { return null; }
        protected void onCreate(android.os.Bundle b) {} protected void onDestroy() {}
        public void setContentView(android.view.View v) {} public void runOnUiThread(Runnable r) {}
        public android.view.LayoutInflater getLayoutInflater() { return null; }""",
    "androidx.camera.core.CameraSelector": "public static final CameraSelector DEFAULT_BACK_CAMERA = null;",
    "androidx.camera.core.UseCase": "",
    "androidx.camera.core.ImageAnalysis extends UseCase": """
        public static final int STRATEGY_KEEP_ONLY_LATEST = 0, OUTPUT_IMAGE_FORMAT_RGBA_8888 = 2;
        public interface Analyzer { void analyze(ImageProxy p); }
        public void setAnalyzer(java.util.concurrent.Executor e, Analyzer a) {}
        public static class Builder { public Builder setBackpressureStrategy(int s) { return this; }
            public Builder setOutputImageFormat(int f) { return this; } public ImageAnalysis build() { return null; } }""",
    "androidx.camera.core.ImageProxy implements java.io.Closeable": """public void close() {}
        public interface Info { int getRotationDegrees(); } public Info getImageInfo() { return null; }
        public interface Plane { java.nio.ByteBuffer getBuffer(); int getRowStride(); }
        public Plane[] getPlanes() { return null; }
        public int getWidth() { return 0; } public int getHeight() { return 0; }""",
    "androidx.camera.core.Preview extends UseCase": """public static class SurfaceProvider {}
        public void setSurfaceProvider(SurfaceProvider p) {}
        public static class Builder { public Preview build() { return null; } }""",
    "androidx.camera.lifecycle.ProcessCameraProvider": """
        public interface Future<T> extends java.util.concurrent.Future<T> {
            void addListener(Runnable r, java.util.concurrent.Executor e); }
        public static Future<ProcessCameraProvider> getInstance(android.content.Context c) { return null; }
        public void unbindAll() {}
        public void bindToLifecycle(androidx.appcompat.app.AppCompatActivity a, androidx.camera.core.CameraSelector s,
            androidx.camera.core.UseCase... u) {}""",
    "androidx.camera.view.PreviewView extends android.view.View": """
        public androidx.camera.core.Preview.SurfaceProvider getSurfaceProvider() { return null; }""",
    "androidx.core.content.ContextCompat": """
        public static int checkSelfPermission(android.content.Context c, String p) { return 0; }
        public static java.util.concurrent.Executor getMainExecutor(android.content.Context c) { return null; }""",
    "androidx.core.text.BidiFormatter": """public static BidiFormatter getInstance() { return null; }
        public String unicodeWrap(String t) { return t; }""",
    "com.google.ai.edge.litert.Accelerator": "public static final Accelerator CPU = null;",
    "com.google.ai.edge.litert.CompiledModel implements AutoCloseable": """public void close() {}
        public static class CpuOptions { public CpuOptions(Integer threads, Integer flags, String cache) {} }
        public static class Options { public Options(Accelerator... a) {}
            public CpuOptions getCpuOptions() { return null; } public void setCpuOptions(CpuOptions o) {} }
        public static CompiledModel create(android.content.res.AssetManager a, String name, Options o) { return null; }
        public java.util.List<TensorBuffer> createInputBuffers() { return null; }
        public java.util.List<TensorBuffer> createOutputBuffers() { return null; }
        public void run(java.util.List<TensorBuffer> inputs, java.util.List<TensorBuffer> outputs) {}""",
    "com.google.ai.edge.litert.TensorBuffer implements AutoCloseable": """public void close() {}
        public void writeInt8(byte[] data) {} public byte[] readInt8() { return null; }""",
    "com.google.android.material.button.MaterialButton extends android.widget.TextView": "",
    "org.json.JSONArray": """public int length() { return 0; } public String getString(int i) { return null; }
        public int getInt(int i) { return 0; } public JSONArray getJSONArray(int i) { return null; }
        public JSONObject getJSONObject(int i) { return null; }""",
    "org.json.JSONObject": """public JSONObject(String text) {} public boolean has(String n) { return false; }
        public String getString(String n) { return null; } public String optString(String n) { return null; }
        public int getInt(String n) { return 0; } public double getDouble(String n) { return 0; }
        public JSONObject getJSONObject(String n) { return null; } public JSONObject optJSONObject(String n) { return null; }
        public JSONArray getJSONArray(String n) { return null; } public java.util.Iterator<String> keys() { return null; }""",
}  # fmt: skip


def type_check(project: Path, folder: Path) -> str:
    """What the Kotlin compiler has against the project's app, compiled against the stubs; empty: nothing.

    Skips the test where there is no Kotlin or Java compiler.
    """
    kotlinc, javac = shutil.which("kotlinc"), shutil.which("javac")
    if kotlinc is None or javac is None:
        pytest.skip("no Kotlin or Java compiler (Debian's packages: kotlin, default-jdk)")
    sources, classes = folder / "stubs", folder / "classes"
    for head, body in (PLATFORM | _generated(project)).items():
        name, _, rest = head.partition(" ")
        package, _, simple = name.rpartition(".")
        file = sources / package.replace(".", "/") / f"{simple.partition('<')[0]}.java"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"package {package};\npublic class {simple} {rest} {{ {body} }}\n")
    classes.mkdir()
    stubs = [str(file) for file in sources.rglob("*.java")]
    subprocess.run([javac, "-nowarn", "-d", str(classes), *stubs], check=True, capture_output=True, timeout=120)
    code = folder / "kotlin"
    code.mkdir()
    for file in (project / "app/src/main/kotlin").rglob("*.kt"):
        # Debian's compiler is of 2019 and knows no comma behind the last argument
        (code / file.name).write_text(re.sub(r",(\s*\n\s*[)\]}])", r"\1", file.read_text()))
    newer = ["-XXLanguage:+NewInference", "-XXLanguage:+SamConversionPerArgument"]  # as from Kotlin 1.4 on
    command = [kotlinc, *newer, *map(str, sorted(code.iterdir())), "-cp", str(classes), "-d", str(folder / "app.jar")]
    said = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False).stderr
    return "\n".join(line for line in said.splitlines() if ": error: " in line)


def _generated(project: Path) -> dict[str, str]:
    """What Gradle makes of the resources: R, and the binding of the layout."""
    resources, found = project / "app/src/main/res", {}
    strings = [e.get("name") for e in ElementTree.parse(resources / "values/strings.xml").getroot()]
    ids = "".join(f"public static final int {name} = 1;" for name in strings)
    found["org.edgefit.nameit.R"] = f"public static class string {{ {ids} }}"
    layout = ElementTree.parse(resources / "layout/activity_main.xml").getroot()
    fields = "public android.view.View getRoot() { return null; }"
    for element in layout.iter():
        if (at := element.get(f"{ANDROID}id")) is not None:
            kind = element.tag if "." in element.tag else f"android.widget.{element.tag}"
            fields += f"public {kind} {at.removeprefix('@+id/')};"
    inflate = "public static ActivityMainBinding inflate(android.view.LayoutInflater i) { return null; }"
    found["org.edgefit.nameit.databinding.ActivityMainBinding"] = fields + inflate
    return found
