package org.edgefit.nameit

import android.Manifest
import android.content.pm.PackageManager
import android.graphics.Bitmap
import android.graphics.ImageDecoder
import android.net.Uri
import android.os.Bundle
import android.os.SystemClock
import android.view.View
import androidx.activity.result.PickVisualMediaRequest
import androidx.activity.result.contract.ActivityResultContracts
import androidx.appcompat.app.AppCompatActivity
import androidx.camera.core.CameraSelector
import androidx.camera.core.ImageAnalysis
import androidx.camera.core.ImageProxy
import androidx.camera.core.Preview
import androidx.camera.lifecycle.ProcessCameraProvider
import androidx.core.content.ContextCompat
import java.io.IOException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import org.edgefit.nameit.databinding.ActivityMainBinding

/** The live camera or one photograph in, three names with honest confidence out. */
class MainActivity : AppCompatActivity() {
    private lateinit var views: ActivityMainBinding
    private lateinit var worker: ExecutorService // every use of the classifier happens on this one thread
    private lateinit var classifier: Classifier

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
        val answer = Answers.judge(scores, classifier.labels, classifier.facts.threshold, classifier.tree)
        runOnUiThread { show(answer, modelMs, prepareMs) }
    }

    private fun show(answer: Answer, modelMs: Double, prepareMs: Double) {
        val first = answer.top[0]
        val coarser = answer.coarser
        val headline = when {
            !answer.sure -> getString(R.string.not_sure)
            coarser != null -> getString(R.string.sure, coarseName(coarser), Answers.percent(coarser.probability.toFloat()))
            else -> getString(R.string.sure, first.label.common, Answers.percent(first.score))
        }
        if (views.headline.text.toString() != headline) views.headline.text = headline // a live region speaks on change
        views.advice.visibility = if (answer.sure && coarser == null) View.GONE else View.VISIBLE
        views.advice.setText(if (coarser == null) R.string.advice else R.string.which)
        views.top.text = answer.top.joinToString("\n") { "${Answers.percent(it.score)}  ${it.label.words}" }
        views.timing.text = getString(R.string.timing, modelMs, prepareMs)
    }

    /** `Rose family (family)`. */
    private fun coarseName(named: Named): String {
        val node = classifier.tree!!.nodes[named.node]
        return getString(R.string.coarser, node.called(classifier.languages, node.name), named.rank)
    }
}
