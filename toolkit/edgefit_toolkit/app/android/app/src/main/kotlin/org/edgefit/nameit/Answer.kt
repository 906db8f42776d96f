package org.edgefit.nameit

/** One class: as the training folder was named, and as people call it. */
class Label(val label: String, val common: String, val scientific: String) {
    val words: String get() = if (scientific.isEmpty()) common else "$common ($scientific)"
}

class Guess(val label: Label, val score: Double, val seldom: Boolean = false)

/** A class, or what several of them are together; `parent` is a later node of a tree, or -1. */
class Node(val name: String, val rank: String, val parent: Int, val names: Map<String, String> = emptyMap()) {
    /** What people call it in the first of their languages (`de`, `pt-BR`) that it has a name in; else `otherwise`. */
    fun called(languages: List<String>, otherwise: String): String =
        languages.flatMap { listOf(it, it.substringBefore('-')) }.mapNotNull { names[it] }.firstOrNull() ?: otherwise
}

/** Where and when classes occur: rows of (class, region, months), a bit for each month, January first. */
class Places(val regions: List<String>, val lowered: Double, val rows: List<IntArray>)

/** answer.json: ranks from fine to coarse, from which sum on each answers, the classes in the model's order and what
 * stands above them; the class of other things (-1: none) and below which certainty it is none of these; the power of
 * the model's outputs. */
class Tree(
    val ranks: List<String>,
    val thresholds: Map<String, Double>,
    val nodes: List<Node>,
    val other: Int = -1,
    val floor: Double = 0.0,
    val places: Places? = null,
    val alike: List<List<Int>> = emptyList(),
    val power: Int = 1
)

/** The node of a tree that answers. */
class Named(val node: Int, val rank: String, val probability: Double)

/** The three likeliest classes, whether it is none of these, the node that answers (null: not sure), whether that is a
 * class that is seldom seen here, and the classes that look like it. */
class Answer(val top: List<Guess>, val other: Boolean, val named: Named?, val seldom: Boolean, val alike: List<Label>)

/** What the scores mean, in words. */
object Answers {
    /** labels.txt: one class a line, `label [TAB common name [TAB scientific name]]`. */
    fun parseLabels(text: String): List<Label> =
        text.lines().filter { it.isNotEmpty() }.map { line ->
            val columns = line.split("\t")
            val common = columns.getOrElse(1) { "" }.ifEmpty { columns[0].replace('_', ' ') }
            Label(columns[0], common, columns.getOrElse(2) { "" })
        }

    /** The outputs to the file's power, brought to a sum of 1: the file may give roots, of which more fits its 256 steps. */
    fun probabilities(outputs: FloatArray, power: Int): DoubleArray {
        val given = DoubleArray(outputs.size) { outputs[it].toDouble() }
        if (power == 1) return given
        for (i in given.indices) given[i] *= given[i]
        val sum = given.fold(0.0) { a, b -> a + b }
        return if (sum > 0) DoubleArray(given.size) { given[it] / sum } else given
    }

    /** What to say of the model's outputs; [region] (null: any) and [month] (1 to 12; 0: any) may say where and when. */
    fun judge(outputs: FloatArray, labels: List<Label>, tree: Tree, region: String? = null, month: Int = 0): Answer {
        val scores = probabilities(outputs, tree.power)
        val seldom = seldomHere(scores.size, tree, region, month)
        val weighed = weigh(scores, tree, seldom)
        val order = weighed.indices.filter { it != tree.other }.sortedByDescending { weighed[it] }.take(3)
        val other = isOther(scores, tree)
        val named = if (other) null else rollUp(weighed, tree)
        val label = if (named != null && named.rank == tree.ranks[0]) named.node else -1
        val alike = if (label < 0) emptyList() else tree.alike.getOrElse(label) { emptyList() }.map { labels[it] }
        return Answer(order.map { Guess(labels[it], weighed[it], seldom[it]) }, other, named, label >= 0 && seldom[label], alike)
    }

    /** Whether no name is as certain as the floor: none of these. What lies outside a name of k of n classes is weighed
     * by (n - 1) / (n - k): a class keeps its probability, a name that holds them all says nothing. */
    fun isOther(scores: DoubleArray, tree: Tree): Boolean {
        val n = scores.size
        val sums = sumUp(nameable(scores, tree), tree)
        val held = sumUp(DoubleArray(n) { if (it == tree.other) 0.0 else 1.0 }, tree)
        return sums.indices.none {
            held[it] > 0 && held[it] < n && 1 - (1 - minOf(sums[it], 1.0)) * ((n - 1) / (n - held[it])) >= tree.floor
        }
    }

    /** Of each class whether it has a place, but none of this region and month. A region that no row names is any. */
    fun seldomHere(count: Int, tree: Tree, region: String?, month: Int): BooleanArray {
        val listed = BooleanArray(count)
        val here = BooleanArray(count)
        val at = tree.places?.regions?.indexOf(region ?: "") ?: -1
        for ((label, where, months) in tree.places?.rows ?: emptyList<IntArray>()) {
            listed[label] = true
            if ((at < 0 || at == where) && (month == 0 || (months shr (month - 1)) and 1 == 1)) here[label] = true
        }
        return BooleanArray(count) { listed[it] && !here[it] }
    }

    /** Scores of the classes that can be named; those seldom seen here are lowered, and all brought to their old sum. */
    fun weigh(scores: DoubleArray, tree: Tree, seldom: BooleanArray): DoubleArray {
        val given = nameable(scores, tree)
        val places = tree.places
        if (places == null || seldom.none { it }) return given
        val lowered = DoubleArray(given.size) { given[it] * (if (seldom[it]) places.lowered else 1.0) }
        val after = lowered.fold(0.0) { a, b -> a + b }
        val factor = if (after > 0) given.fold(0.0) { a, b -> a + b } / after else 1.0
        return DoubleArray(given.size) { lowered[it] * factor }
    }

    /** The likeliest node of the finest rank whose threshold its sum meets; null when none is sure enough. */
    fun rollUp(scores: DoubleArray, tree: Tree): Named? {
        val sums = sumUp(scores, tree)
        for (rank in tree.ranks) {
            val threshold = tree.thresholds[rank] ?: continue // such a rank never answers
            var best = -1
            for (at in sums.indices) {
                // uint8 probabilities may add up to a little more than 1
                if (tree.nodes[at].rank == rank && (best < 0 || minOf(sums[at], 1.0) > minOf(sums[best], 1.0))) best = at
            }
            if (best >= 0 && minOf(sums[best], 1.0) >= threshold) return Named(best, rank, minOf(sums[best], 1.0))
        }
        return null
    }

    /** What lies below each node, of one value a class: a parent stands behind its children. */
    private fun sumUp(values: DoubleArray, tree: Tree): DoubleArray {
        val sums = DoubleArray(tree.nodes.size) { if (it < values.size) values[it] else 0.0 }
        tree.nodes.forEachIndexed { at, node -> if (node.parent >= 0) sums[node.parent] += sums[at] }
        return sums
    }

    private fun nameable(scores: DoubleArray, tree: Tree): DoubleArray =
        DoubleArray(scores.size) { if (it == tree.other) 0.0 else scores[it] }

    /** 0.934 -> "93%"; never "0%" or "100%" of something uncertain. */
    fun percent(share: Double): String = when {
        share > 0 && share < 0.005 -> "<1%"
        share > 0.995 && share < 1 -> ">99%"
        else -> "${Math.round(100 * share)}%"
    }
}
