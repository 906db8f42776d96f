package org.edgefit.nameit

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.ImageDecoder
import android.icu.text.DateFormatSymbols
import android.net.Uri
import android.os.Bundle
import android.os.SystemClock
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner
import android.widget.TextView
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.appcompat.app.AppCompatActivity
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.core.content.ContextCompat
import androidx.core.text.BidiFormatter
import java.io.IOException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import org.edgefit.nameit.databinding.ActivityMainBinding

/** The live camera or one photograph in, three names with honest confidence out. */
class MainActivity : AppCompatActivity() {
    private lateinit var views: ActivityMainBinding
    private lateinit var worker: ExecutorService // every use of the classifier happens on this one thread
    private lateinit var classifier: Classifier

    @Volatile private var region: String? = null // null: anywhere
    @Volatile private var month = 0 // 1 to 12; 0: any

    private val askForCamera = registerForActivityResult(ActivityResultContracts.RequestPermission()) { allowed ->
        if (allowed) startCamera() else views.headline.setText(R.string.no_camera_permission)
    }
    private val pickPhoto = registerForActivityResult(ActivityResultContracts.PickVisualMedia()) { uri ->
        if (uri != null) showPhoto(uri)
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        views = ActivityMainBinding.inflate(layoutInflater)
        setContentView(views.root)
        worker = Executors.newSingleThreadExecutor()
        classifier = Classifier(assets)
        views.title.text = classifier.facts.title
        views.about.text = classifier.facts.about
        views.drawn.visibility = if (classifier.facts.drawn) View.VISIBLE else View.GONE
        classifier.tree.places?.let(::offerPlaces)
        val known = classifier.labels.filterIndexed { at, _ -> at != classifier.tree.other }
        views.nameable.text = getString(R.string.nameable, known.size, known.joinToString(", ") { isolated(it.words) })
        views.choose.setOnClickListener {
            pickPhoto.launch(PickVisualMediaRequest(ActivityResultContracts.PickVisualMedia.ImageOnly))
        }
        views.camera.setOnClickListener { startCameraWhenAllowed() }
        startCameraWhenAllowed()
    }

    override fun onDestroy() {
        worker.execute(classifier::close)
        worker.shutdown()
        super.onDestroy()
    }

    private fun startCameraWhenAllowed() {
        val state = ContextCompat.checkSelfPermission(this, Manifest.permission.CAMERA)
        if (state == PackageManager.PERMISSION_GRANTED) startCamera() else askForCamera.launch(Manifest.permission.CAMERA)
    }

    private fun startCamera() {
        views.photo.visibility = View.GONE
        views.preview.visibility = View.VISIBLE
        val pending = ProcessCameraProvider.getInstance(this)
        pending.addListener({
            val preview = Preview.Builder().build()
            preview.setSurfaceProvider(views.preview.surfaceProvider)
            val analysis = ImageAnalysis.Builder()
                .setBackpressureStrategy(ImageAnalysis.STRATEGY_KEEP_ONLY_LATEST)
                .setOutputImageFormat(ImageAnalysis.OUTPUT_IMAGE_FORMAT_RGBA_8888)
                .build()
            analysis.setAnalyzer(worker) { frame -> frame.use(::classify) }
            try {
                val provider = pending.get()
                provider.unbindAll()
                provider.bindToLifecycle(this, CameraSelector.DEFAULT_BACK_CAMERA, preview, analysis)
            } catch (error: IllegalArgumentException) { // a device without a camera on its back
                views.headline.setText(R.string.no_camera)
            } catch (error: IllegalStateException) {
                views.headline.setText(R.string.no_camera)
            }
        }, ContextCompat.getMainExecutor(this))
    }

    private fun classify(frame: ImageProxy) {
        val started = SystemClock.elapsedRealtimeNanos()
        val turned = frame.imageInfo.rotationDegrees
        val upright = if (turned % 180 == 0) Pair(frame.width, frame.height) else Pair(frame.height, frame.width)
        val how = classifier.facts.preprocessing
        val box = Preprocess.cropBox(upright.first, upright.second, how)
        val plane = frame.planes[0]
        val square = Preprocess.crop(plane.buffer, frame.width, frame.height, plane.rowStride, turned, box)
        answer(square, box.side, started)
    }

    private fun showPhoto(uri: Uri) {
        ProcessCameraProvider.getInstance(this).let { pending ->
            pending.addListener({ pending.get().unbindAll() }, ContextCompat.getMainExecutor(this))
        }
        worker.execute {
            val bitmap = try {
                ImageDecoder.decodeBitmap(ImageDecoder.createSource(contentResolver, uri)) { decoder, _, _ ->
                    decoder.allocator = ImageDecoder.ALLOCATOR_SOFTWARE // its pixels are read below
                }
            } catch (error: IOException) {
                runOnUiThread { views.headline.setText(R.string.no_picture) }
                return@execute
            }
            runOnUiThread {
                views.preview.visibility = View.INVISIBLE
                views.photo.visibility = View.VISIBLE
                views.photo.setImageBitmap(bitmap)
            }
            classify(bitmap)
        }
    }

    private fun classify(bitmap: Bitmap) {
        val started = SystemClock.elapsedRealtimeNanos()
        val box = Preprocess.cropBox(bitmap.width, bitmap.height, classifier.facts.preprocessing)
        val argb = IntArray(box.side * box.side)
        bitmap.getPixels(argb, 0, box.side, box.left, box.top, box.side, box.side)
        answer(Preprocess.rgb(argb), box.side, started)
    }

    private fun answer(square: ByteArray, side: Int, started: Long) {
        val how = classifier.facts.preprocessing
        val pixels = Preprocess.resize(square, side, how.resolutionPx, how.interpolation)
        val prepareMs = (SystemClock.elapsedRealtimeNanos() - started) / 1e6
        val (scores, modelMs) = classifier.run(pixels)
        val answer = Answers.judge(scores, classifier.labels, classifier.tree, region, month)
        runOnUiThread { show(answer, modelMs, prepareMs) }
    }

    private fun show(answer: Answer, modelMs: Double, prepareMs: Double) {
        val named = answer.named
        val headline = when {
            answer.other -> getString(R.string.none_of_these)
            named == null -> getString(R.string.not_sure)
            else -> nameOf(named)
        }
        if (views.headline.text.toString() != headline) views.headline.text = headline // a live region speaks on change
        showText(views.sureness, named?.let { sureness(it.probability, answer.seldom) } ?: "")
        val coarse = named != null && named.rank != classifier.tree.ranks[0]
        showText(views.advice, when {
            answer.other -> getString(R.string.other_advice)
            named == null -> getString(R.string.advice)
            coarse -> getString(R.string.which)
            else -> ""
        })
        val alike = answer.alike.joinToString(", ") { isolated(it.common) }
        showText(views.alike, if (alike.isEmpty()) "" else getString(R.string.alike, alike))
        views.top.text = answer.top.joinToString("\n") { guess ->
            val seldom = if (guess.seldom) getString(R.string.seldom) else ""
            "${Answers.percent(guess.score)}  ${isolated(guess.label.words)}  $seldom".trim()
        }
        views.timing.text = getString(R.string.timing, modelMs, prepareMs)
    }

    private fun showText(view: TextView, text: String) {
        view.text = text
        view.visibility = if (text.isEmpty()) View.GONE else View.VISIBLE
    }

    /** `Very likely, 91%. Seldom seen here.` */
    private fun sureness(probability: Double, seldom: Boolean): String {
        val words = when {
            probability >= 0.95 -> R.string.almost_certain
            probability >= 0.8 -> R.string.very_likely
            else -> R.string.likely
        }
        val sure = getString(words, Answers.percent(probability))
        return if (seldom) "$sure ${getString(R.string.seldom)}." else sure
    }

    /** `Dog rose`, `Rose family (family)`. */
    private fun nameOf(named: Named): String {
        if (named.rank == classifier.tree.ranks[0]) return isolated(classifier.labels[named.node].common)
        val node = classifier.tree.nodes[named.node]
        return getString(R.string.coarser, isolated(node.called(classifier.languages, node.name)), named.rank)
    }

    /** A name may be written in either direction: it must not turn the words around it. */
    private fun isolated(name: String): String = BidiFormatter.getInstance().unicodeWrap(name)

    /** Region and month, where answer.json has places; nothing is changed until one is chosen. */
    private fun offerPlaces(places: Places) {
        views.places.visibility = View.VISIBLE
        val months = DateFormatSymbols.getInstance().months.take(12)
        choose(views.region, listOf(getString(R.string.anywhere)) + places.regions) { at ->
            region = if (at == 0) null else places.regions[at - 1]
        }
        choose(views.month, listOf(getString(R.string.any_month)) + months) { at -> month = at }
    }

    private fun choose(spinner: Spinner, names: List<String>, chosen: (Int) -> Unit) {
        spinner.adapter = ArrayAdapter(this, android.R.layout.simple_spinner_dropdown_item, names)
        spinner.onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
            override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) = chosen(position)

            override fun onNothingSelected(parent: AdapterView<*>?) = chosen(0)
        }
    }
}
