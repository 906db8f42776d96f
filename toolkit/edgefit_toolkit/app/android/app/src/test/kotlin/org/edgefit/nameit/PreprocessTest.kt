package org.edgefit.nameit

import java.nio.ByteBuffer
import org.junit.Assert.assertArrayEquals
import org.junit.Assert.assertEquals
import org.junit.Test

class PreprocessTest {
    private val how = Preprocessing(224, 32, "bicubic")

    @Test
    fun theCropIsCentredAndKeepsTheTrainingsMargin() {
        val box = Preprocess.cropBox(640, 480, how)
        assertEquals(listOf(110, 30, 420), listOf(box.left, box.top, box.side))
    }

    @Test
    fun aFlatPictureStaysFlat() {
        val flat = ByteArray(50 * 50 * 3) { 77 }
        assertArrayEquals(ByteArray(24 * 24 * 3) { 77 }, Preprocess.resize(flat, 50, 24, "bicubic"))
    }

    @Test
    fun aFrameIsTurnedUpright() {
        // 2 x 1 pixels, red 1 and 2; turned clockwise by 90 degrees the left one is on top
        val frame = ByteBuffer.wrap(byteArrayOf(1, 0, 0, -1, 2, 0, 0, -1))
        val top = Preprocess.crop(frame, 2, 1, 8, 90, CropBox(0, 0, 1))
        val bottom = Preprocess.crop(frame, 2, 1, 8, 90, CropBox(0, 1, 1))
        assertEquals(listOf(1, 2), listOf(top[0].toInt(), bottom[0].toInt()))
    }
}
