# Draws a picture to segment: a meadow, a sky with a sun, a house. Binary PPM on standard output; run it with LC_ALL=C.
BEGIN {
  W = 480; H = 360; srand(1)
  printf "P6\n%d %d\n255\n", W, H
  for (y = 0; y < H; y++)
    for (x = 0; x < W; x++) {
      noise = 10 * rand() - 5
      if (y < 200 + 12 * sin(x / 60)) { r = 120 + y / 3; g = 165 + y / 4; b = 225 }
      else { r = 70 + (y - 200) / 4; g = 130 - (y - 200) / 5; b = 60 }
      if ((x - 390) ^ 2 + (y - 70) ^ 2 < 1100) { r = 255; g = 235; b = 130 }
      if (y > 120 && y <= 165 && x - 200 < y - 60 && 200 - x < y - 60) { r = 150; g = 60; b = 50 }
      if (x > 115 && x < 285 && y > 165 && y < 270) { r = 205; g = 190; b = 165 }
      if (x > 185 && x < 215 && y > 205 && y < 270) { r = 95; g = 65; b = 45 }
      if ((x > 135 && x < 165 || x > 235 && x < 265) && y > 185 && y < 215) { r = 90; g = 115; b = 140 }
      printf "%c%c%c", clamp(r + noise), clamp(g + noise), clamp(b + noise)
    }
}
# Never 0: not every awk prints a NUL.
function clamp(v) { return v < 1 ? 1 : v > 255 ? 255 : int(v) }
