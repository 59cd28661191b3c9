//! The tail of the normal distribution, in the log domain: what phi is made of.
//!
//! The tail itself underflows at 38 deviations; its logarithm does not. Writing the tail as `exp(-x^2) * erfcx(x) / 2` with
//! `x = z / sqrt(2)` turns the logarithm of the exponential into a subtraction, and what is left is a well-behaved
//! quotient: W. J. Cody, "Rational Chebyshev approximations for the error function", Mathematics of Computation 23 (1969),
//! whose coefficients these are.
#![expect(clippy::excessive_precision, reason = "the coefficients as published, to the last digit")]

use std::f64::consts::{FRAC_1_SQRT_2, LN_10};

/// `-log10` of the probability that a standard normal deviate is above `z`. Finite for every `z` that is a number.
pub(crate) fn tail_log10(z: f64) -> f64 {
    let x = z.abs() * FRAC_1_SQRT_2;
    if x <= ERF_MAX {
        return -(0.5 * (1.0 - z.signum() * erf(x))).log10();
    }
    let half_scaled = 0.5 * erfcx(x);
    if z < 0.0 {
        // Nearly certain: the small number is the other tail, and its digits are the ones that count.
        return -(-half_scaled * (-x * x).exp()).ln_1p() / LN_10;
    }
    // An absurd silence squares to infinity: the largest number stands for it.
    ((x * x - half_scaled.ln()) / LN_10).min(f64::MAX)
}

/// Up to here the error function itself is approximated.
const ERF_MAX: f64 = 0.468_75;
/// Up to here the middle quotient holds, beyond it the one in 1 / x^2.
const MIDDLE_MAX: f64 = 4.0;

/// The error function for 0 to [`ERF_MAX`].
fn erf(x: f64) -> f64 {
    const NUMERATOR: [f64; 5] = [
        1.857_777_061_846_031_53e-1,
        3.161_123_743_870_565_60,
        1.138_641_541_510_501_56e2,
        3.774_852_376_853_020_21e2,
        3.209_377_589_138_469_47e3,
    ];
    const DENOMINATOR: [f64; 5] = [
        1.0,
        2.360_129_095_234_412_09e1,
        2.440_246_379_344_441_73e2,
        1.282_616_526_077_372_28e3,
        2.844_236_833_439_170_62e3,
    ];
    let y = x * x;
    x * polynomial(&NUMERATOR, y) / polynomial(&DENOMINATOR, y)
}

/// `exp(x^2) * erfc(x)` for everything above [`ERF_MAX`].
fn erfcx(x: f64) -> f64 {
    const MIDDLE_NUMERATOR: [f64; 9] = [
        2.153_115_354_744_038_46e-8,
        5.641_884_969_886_700_89e-1,
        8.883_149_794_388_375_94,
        6.611_919_063_714_162_95e1,
        2.986_351_381_974_001_31e2,
        8.819_522_212_417_690_90e2,
        1.712_047_612_634_070_58e3,
        2.051_078_377_826_071_47e3,
        1.230_339_354_797_997_25e3,
    ];
    const MIDDLE_DENOMINATOR: [f64; 9] = [
        1.0,
        1.574_492_611_070_983_47e1,
        1.176_939_508_913_124_99e2,
        5.371_811_018_620_098_58e2,
        1.621_389_574_566_690_19e3,
        3.290_799_235_733_459_63e3,
        4.362_619_090_143_247_16e3,
        3.439_367_674_143_721_64e3,
        1.230_339_354_803_749_42e3,
    ];
    const FAR_NUMERATOR: [f64; 6] = [
        1.631_538_713_730_209_78e-2,
        3.053_266_349_612_323_44e-1,
        3.603_448_999_498_044_39e-1,
        1.257_817_261_112_292_46e-1,
        1.608_378_514_874_227_66e-2,
        6.587_491_615_298_378_03e-4,
    ];
    const FAR_DENOMINATOR: [f64; 6] = [
        1.0,
        2.568_520_192_289_822_42,
        1.872_952_849_923_467_25,
        5.279_051_029_514_284_12e-1,
        6.051_834_131_244_131_91e-2,
        2.335_204_976_268_691_85e-3,
    ];
    const FRAC_1_SQRT_PI: f64 = std::f64::consts::FRAC_2_SQRT_PI / 2.0;
    if x <= MIDDLE_MAX {
        return polynomial(&MIDDLE_NUMERATOR, x) / polynomial(&MIDDLE_DENOMINATOR, x);
    }
    let y = 1.0 / (x * x);
    (FRAC_1_SQRT_PI - y * polynomial(&FAR_NUMERATOR, y) / polynomial(&FAR_DENOMINATOR, y)) / x
}

/// Horner's rule, the highest power first.
fn polynomial(coefficients: &[f64], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}
