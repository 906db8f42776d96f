package org.edgefit.nameit

/** One class: as the training folder was named, and as people call it. */
class Label(val label: String, val common: String, val scientific: String) {
    val words: String get() = if (scientific.isEmpty()) common else "$common ($scientific)"
}

class Guess(val label: Label, val score: Float)

/** The three likeliest classes, and whether the first is sure enough to be named. */
class Answer(val top: List<Guess>, val sure: Boolean)

/** What the scores mean, in words. */
object Answers {
    /** labels.txt: one class a line, `label [TAB common name [TAB scientific name]]`. */
    fun parseLabels(text: String): List<Label> =
        text.lines().filter { it.isNotEmpty() }.map { line ->
            val columns = line.split("\t")
            val common = columns.getOrElse(1) { "" }.ifEmpty { columns[0].replace('_', ' ') }
            Label(columns[0], common, columns.getOrElse(2) { "" })
        }

    fun judge(scores: FloatArray, labels: List<Label>, threshold: Float): Answer {
        val order = scores.indices.sortedByDescending { scores[it] }.take(3)
        return Answer(order.map { Guess(labels[it], scores[it]) }, scores[order[0]] >= threshold)
    }

    /** 0.934 -> "93%"; never "0%" or "100%" of something uncertain. */
    fun percent(share: Float): String = when {
        share > 0f && share < 0.005f -> "<1%"
        share > 0.995f && share < 1f -> ">99%"
        else -> "${Math.round(100 * share)}%"
    }
}
