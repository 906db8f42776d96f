package org.edgefit.nameit

import android.content.res.AssetManager
import android.os.SystemClock
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import java.util.Locale
import org.json.JSONArray
import org.json.JSONObject

/** What app.json says about the model. */
class Facts(json: JSONObject) {
    val title: String = json.getString("title")
    val about: String = json.getString("about")
    val drawn: Boolean = json.getString("data_kind") == "drawn"
    val preprocessing = Preprocessing(
        json.getInt("resolution_px"),
        json.getInt("crop_padding_px"),
        json.getString("interpolation"),
    )
    val outputScale: Float = json.getJSONObject("output").getDouble("scale").toFloat()
    val outputZeroPoint: Int = json.getJSONObject("output").getInt("zero_point")
}

/** The int8 model on LiteRT (XNNPACK). Not thread-safe: call it from one thread. */
class Classifier(assets: AssetManager) : AutoCloseable {
    val facts = Facts(JSONObject(assets.text("app.json")))
    val languages = listOf(Locale.getDefault().toLanguageTag())
    val tree: Tree = readTree(JSONObject(assets.text("answer.json")))
    val labels: List<Label> = Answers.parseLabels(assets.text("labels.txt")).mapIndexed { i, label ->
        Label(label.label, tree.nodes[i].called(languages, label.common), label.scientific)
    }

    private val model = CompiledModel.create(assets, "model.tflite", CompiledModel.Options(Accelerator.CPU).apply {
        cpuOptions = CompiledModel.CpuOptions(THREADS, null, null)
    })
    private val inputs = model.createInputBuffers()
    private val outputs = model.createOutputBuffers()

    /** The model's outputs for its input bytes [side, side, 3], and the model's own time in ms. */
    fun run(pixels: ByteArray): Pair<FloatArray, Double> {
        inputs[0].writeInt8(pixels) // bytes, signed or not: LiteRT's buffers of one byte an element
        val started = SystemClock.elapsedRealtimeNanos()
        model.run(inputs, outputs)
        val said = outputs[0].readInt8() // waits for the model
        val ms = (SystemClock.elapsedRealtimeNanos() - started) / 1e6
        check(said.size == labels.size) { "labels.txt names ${labels.size} classes, the model says ${said.size}" }
        val scores = FloatArray(said.size) { i -> ((said[i].toInt() and 0xff) - facts.outputZeroPoint) * facts.outputScale }
        return Pair(scores, ms)
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }

    private companion object {
        const val THREADS = 4 // of the fast cores; more only wait for the slow ones

        fun strings(array: JSONArray): List<String> = List(array.length()) { array.getString(it) }

        fun ints(array: JSONArray): List<Int> = List(array.length()) { array.getInt(it) }

        fun rows(array: JSONArray): List<List<Int>> = List(array.length()) { ints(array.getJSONArray(it)) }

        fun readTree(doc: JSONObject): Tree {
            val ranks = strings(doc.getJSONArray("ranks"))
            val other = doc.getJSONObject("other")
            val places = doc.optJSONObject("places")
            val sums = doc.getJSONObject("thresholds")
            val nodes = doc.getJSONArray("nodes")
            return Tree(
                ranks,
                ranks.filter { sums.has(it) }.associate { it to sums.getDouble(it) },
                List(nodes.length()) { i ->
                    val node = nodes.getJSONObject(i)
                    val names = node.getJSONObject("names")
                    val called = names.keys().asSequence().associate { it to names.getString(it) }
                    Node(node.getString("name"), node.getString("rank"), node.getInt("parent"), called)
                },
                other.getInt("class"),
                other.getDouble("floor"),
                places?.let { found ->
                    val lowered = found.getDouble("lowered")
                    Places(strings(found.getJSONArray("regions")), lowered, rows(found.getJSONArray("rows")).map { it.toIntArray() })
                },
                rows(doc.getJSONArray("alike")),
                doc.getInt("power")
            )
        }

        fun AssetManager.text(name: String): String = open(name).bufferedReader().use { it.readText() }
    }
}
