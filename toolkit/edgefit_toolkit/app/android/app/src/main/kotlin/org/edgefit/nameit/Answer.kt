package org.edgefit.nameit

/** One class: as the training folder was named, and as people call it. */
class Label(val label: String, val common: String, val scientific: String) {
    val words: String get() = if (scientific.isEmpty()) common else "$common ($scientific)"
}

class Guess(val label: Label, val score: Float)

/** A class, or what several of them are together; `parent` is a later node of a tree, or -1. */
class Node(val name: String, val rank: String, val parent: Int, val names: Map<String, String> = emptyMap()) {
    /** What people call it in the first of their languages (`de`, `pt-BR`) that it has a name in; else `otherwise`. */
    fun called(languages: List<String>, otherwise: String): String =
        languages.flatMap { listOf(it, it.substringBefore('-')) }.firstNotNullOfOrNull { names[it] } ?: otherwise
}

/** answer.json: ranks from fine to coarse, from which sum on each answers, the classes in the model's order and what
 * stands above them. */
class Tree(val ranks: List<String>, val thresholds: Map<String, Double>, val nodes: List<Node>)

/** The node of a tree that answers. */
class Named(val node: Int, val rank: String, val probability: Double)

/** The three likeliest classes, whether the app is sure, and of what: the first of them, or a coarser node of a tree. */
class Answer(val top: List<Guess>, val sure: Boolean, val coarser: Named? = null)

/** What the scores mean, in words. */
object Answers {
    /** labels.txt: one class a line, `label [TAB common name [TAB scientific name]]`. */
    fun parseLabels(text: String): List<Label> =
        text.lines().filter { it.isNotEmpty() }.map { line ->
            val columns = line.split("\t")
            val common = columns.getOrElse(1) { "" }.ifEmpty { columns[0].replace('_', ' ') }
            Label(columns[0], common, columns.getOrElse(2) { "" })
        }

    fun judge(scores: FloatArray, labels: List<Label>, threshold: Float, tree: Tree? = null): Answer {
        val order = scores.indices.sortedByDescending { scores[it] }.take(3)
        val top = order.map { Guess(labels[it], scores[it]) }
        if (tree == null) return Answer(top, scores[order[0]] >= threshold)
        val named = rollUp(scores, tree)
        return Answer(top, named != null, named?.takeIf { it.rank != tree.ranks[0] })
    }

    /** The likeliest node of the finest rank whose threshold its sum meets; null when none is sure enough. */
    fun rollUp(scores: FloatArray, tree: Tree): Named? {
        val sums = DoubleArray(tree.nodes.size) { if (it < scores.size) scores[it].toDouble() else 0.0 }
        tree.nodes.forEachIndexed { at, node ->
            if (node.parent >= 0) sums[node.parent] += sums[at] // a parent stands behind its children
        }
        for (rank in tree.ranks) {
            val threshold = tree.thresholds[rank] ?: continue // such a rank never answers
            // uint8 probabilities may add up to a little more than 1
            val best = sums.indices.filter { tree.nodes[it].rank == rank }.maxByOrNull { minOf(sums[it], 1.0) } ?: continue
            val probability = minOf(sums[best], 1.0)
            if (probability >= threshold) return Named(best, rank, probability)
        }
        return null
    }

    /** 0.934 -> "93%"; never "0%" or "100%" of something uncertain. */
    fun percent(share: Float): String = when {
        share > 0f && share < 0.005f -> "<1%"
        share > 0.995f && share < 1f -> ">99%"
        else -> "${Math.round(100 * share)}%"
    }
}
