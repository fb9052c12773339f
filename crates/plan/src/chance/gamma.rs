//! Quantiles of the Gamma distribution.

/// Logarithm of the Gamma function for `x` > 0: Stirling's series after a shift to where it is exact to a double.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 12.0 {
        shift += x.ln();
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1_260.0 - square / 1_680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * (2.0 * std::f64::consts::PI).ln() + series - shift
}

/// Probability that a Gamma variable of `shape` and scale 1 is at most `x`: the series of the incomplete Gamma function.
fn below(shape: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let (mut term, mut sum, mut n) = (1.0, 1.0, shape);
    // Past `x` the terms shrink geometrically.
    while term > sum * 1e-16 {
        n += 1.0;
        term *= x / n;
        sum += term;
    }
    (sum.ln() + shape * x.ln() - x - ln_gamma(shape + 1.0)).exp().min(1.0)
}

/// The `x` that a Gamma variable of `shape` > 0 and scale 1 does not exceed with `probability` in 0..1.
pub(super) fn quantile(shape: f64, probability: f64) -> f64 {
    let mut high = shape + 10.0 * shape.sqrt() + 40.0;
    let mut low = 0.0;
    // Halving to the last digit of a double; it is called a few times for a drill.
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if below(shape, middle) < probability { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the quantiles of the chi-square distribution with 2, 10 and 100 degrees of freedom, as in its tables.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (shape, probability, twice) in [
            (1.0, 0.95, 5.991_46),
            (1.0, 0.05, 0.102_587),
            (5.0, 0.95, 18.307_0),
            (5.0, 0.05, 3.940_3),
            (50.0, 0.95, 124.342),
        ] {
            assert!((2.0 * quantile(shape, probability) / twice - 1.0).abs() < 5e-6, "{shape} {probability}");
        }
        // Large shapes are normal.
        assert!((quantile(1e6, 0.95) - (1e6 + 1.645 * 1e3)).abs() < 2.0);
    }
}
