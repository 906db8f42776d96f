package org.edgefit.nameit

import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.math.max
import kotlin.math.min

/** From a photograph to the model's input; the values are those of preprocessing.json. */
class Preprocessing(val resolutionPx: Int, val cropPaddingPx: Int, val interpolation: String)

/** A square of an upright picture. */
class CropBox(val left: Int, val top: Int, val side: Int)

/**
 * Equal to the training's to the byte: the same crop, the same antialiased resize in the same fixed-point arithmetic as
 * Pillow (Resample.c), horizontal pass first.
 */
object Preprocess {
    private const val PRECISION_BITS = 22 // Pillow: 32 - 8 - 2

    private class Weights(val first: Int, val fixed: IntArray)

    /** The centre crop of a width x height picture. */
    fun cropBox(width: Int, height: Int, preprocessing: Preprocessing): CropBox {
        val shorter = min(width, height).toLong()
        val resolution = preprocessing.resolutionPx
        val side = max(1L, shorter * resolution / (resolution + preprocessing.cropPaddingPx)).toInt()
        return CropBox((width - side + 1) / 2, (height - side + 1) / 2, side)
    }

    /**
     * The crop of a camera frame as RGB bytes [side, side, 3], upright.
     *
     * [rgba] holds [width] x [height] pixels of 4 bytes, rows [rowStride] bytes apart; the picture must be turned
     * clockwise by [rotationDegrees] (0, 90, 180, 270) to stand upright. [box] is in upright coordinates.
     */
    fun crop(rgba: ByteBuffer, width: Int, height: Int, rowStride: Int, rotationDegrees: Int, box: CropBox): ByteArray {
        val rgb = ByteArray(box.side * box.side * 3)
        var to = 0
        for (y in box.top until box.top + box.side) {
            for (x in box.left until box.left + box.side) {
                val from = when (rotationDegrees) {
                    90 -> (height - 1 - x) * rowStride + y * 4
                    180 -> (height - 1 - y) * rowStride + (width - 1 - x) * 4
                    270 -> x * rowStride + (width - 1 - y) * 4
                    else -> y * rowStride + x * 4
                }
                rgb[to++] = rgba.get(from)
                rgb[to++] = rgba.get(from + 1)
                rgb[to++] = rgba.get(from + 2)
            }
        }
        return rgb
    }

    /** RGB bytes of Android's packed ARGB ints, transparency put on white. */
    fun rgb(argb: IntArray): ByteArray {
        val rgb = ByteArray(argb.size * 3)
        for ((i, pixel) in argb.withIndex()) {
            val alpha = pixel ushr 24
            for (channel in 0 until 3) {
                val value = (pixel shr (16 - 8 * channel)) and 0xff
                rgb[3 * i + channel] = ((value * alpha + 255 * (255 - alpha) + 127) / 255).toByte()
            }
        }
        return rgb
    }

    /** RGB bytes [side, side, 3] to [size, size, 3]. */
    fun resize(pixels: ByteArray, side: Int, size: Int, interpolation: String): ByteArray {
        if (side == size) return pixels
        val weights = weights(side, size, interpolation)
        val across = ByteArray(side * size * 3)
        for (y in 0 until side) {
            for (x in 0 until size) {
                val w = weights[x]
                for (channel in 0 until 3) {
                    var sum = 1 shl (PRECISION_BITS - 1)
                    var from = (y * side + w.first) * 3 + channel
                    for (weight in w.fixed) {
                        sum += (pixels[from].toInt() and 0xff) * weight
                        from += 3
                    }
                    across[(y * size + x) * 3 + channel] = clip(sum)
                }
            }
        }
        val row = size * 3
        val result = ByteArray(size * row)
        for (y in 0 until size) {
            val w = weights[y]
            for (x in 0 until row) {
                var sum = 1 shl (PRECISION_BITS - 1)
                var from = w.first * row + x
                for (weight in w.fixed) {
                    sum += (across[from].toInt() and 0xff) * weight
                    from += row
                }
                result[y * row + x] = clip(sum)
            }
        }
        return result
    }

    private fun clip(sum: Int): Byte = min(255, max(0, sum shr PRECISION_BITS)).toByte()

    private fun bicubic(distance: Double): Double {
        val a = -0.5
        val x = abs(distance)
        return when {
            x < 1 -> ((a + 2) * x - (a + 3)) * x * x + 1
            x < 2 -> (((x - 5) * x + 8) * x - 4) * a
            else -> 0.0
        }
    }

    private fun bilinear(distance: Double): Double = max(0.0, 1 - abs(distance))

    private fun weights(inSize: Int, outSize: Int, interpolation: String): List<Weights> {
        val cubic = interpolation == "bicubic"
        val scale = inSize.toDouble() / outSize
        val filterScale = max(scale, 1.0)
        val support = (if (cubic) 2.0 else 1.0) * filterScale
        return List(outSize) { out ->
            val centre = (out + 0.5) * scale
            val first = max(0, (centre - support + 0.5).toInt())
            val end = min(inSize, (centre + support + 0.5).toInt())
            val raw = DoubleArray(end - first) { i ->
                val at = (i + first - centre + 0.5) * (1 / filterScale)
                if (cubic) bicubic(at) else bilinear(at)
            }
            val total = raw.sum()
            Weights(first, IntArray(raw.size) { i ->
                val share = (if (total == 0.0) raw[i] else raw[i] / total) * (1 shl PRECISION_BITS)
                (if (share < 0) share - 0.5 else share + 0.5).toInt()
            })
        }
    }
}
