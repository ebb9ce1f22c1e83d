//! Figures: how they are told, and what is made of many samples.

use std::time::Duration;

/// Tells one figure: its name, and a number whose unit the name ends with.
pub fn tell(name: &str, value: f64) {
    println!("bench: {name} {value}");
}

/// The nanoseconds of a duration.
pub fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

/// The sample below which this part of all lie, `0.5` for the median; sorts them.
pub fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let at = (samples.len() as f64 * part) as usize;
    samples.get(at.min(samples.len().saturating_sub(1))).copied().expect("there are samples")
}

/// The median.
pub fn median(mut samples: Vec<f64>) -> f64 {
    quantile(&mut samples, 0.5)
}
