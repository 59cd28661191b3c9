"""Makes the reference tables of phi/tests.rs with tools that share no code with it.

    pip install mpmath scipy && python3 reference.py

reference_tail.txt: -log10 of the normal distribution's upper tail, by mpmath at 50 digits, up to phi 300 and beyond.
reference_mistakes.txt: the probability that phi reaches a threshold before a beat that is merely late, when mean and
deviation are estimated from the last 100 beats: Student's t with 99 degrees of freedom, scaled by sqrt(1 + 1/100).
"""

from math import sqrt

from mpmath import mp, mpf, erfc, log10, log1p, log
from scipy.stats import norm, t

mp.dps = 50
WINDOW = 100


def phi(z):
    z = mpf(z)
    if z < 0:
        return -log1p(-erfc(-z / mp.sqrt(2)) / 2) / log(10)
    return -log10(erfc(z / mp.sqrt(2)) / 2)


with open("reference_tail.txt", "w") as table:
    table.write("# z phi\n")
    for i in range(-32, 190):
        z = i / 4 if i < 100 else 25 + (i - 100) / 7
        table.write(f"{z!r} {mp.nstr(phi(z), 20)}\n")

with open("reference_mistakes.txt", "w") as table:
    table.write("# threshold probability\n")
    for threshold in (1, 2, 3, 4, 5, 6, 8):
        z = norm.isf(10.0**-threshold)
        table.write(f"{threshold} {t.sf(z / sqrt(1 + 1 / WINDOW), WINDOW - 1):.12e}\n")
