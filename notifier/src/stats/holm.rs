//! Many tests at once.

/// Each p-value as it is when all of them were asked for: Holm's step-down procedure (S. Holm, *A simple sequentially rejective multiple
/// test procedure*, 1979). Whoever takes those up to α for true alarms has a single false one among all of them with a probability of
/// at most α, whatever they have to do with each other.
#[must_use]
pub fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut adjusted = vec![1.0; values.len()];
    let mut least: f64 = 0.0;
    for (rank, &at) in order.iter().enumerate() {
        least = least.max((values[at] * (values.len() - rank) as f64).min(1.0));
        adjusted[at] = least;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::holm;

    #[test]
    fn the_least_pays_for_all_and_none_overtakes_another() {
        assert_eq!(holm(&[0.04, 0.0625, 0.0078125, 0.5]), [0.12, 0.125, 0.03125, 0.5]);
        assert_eq!(holm(&[0.25, 0.24]), [0.48, 0.48], "0.25 alone would be less than what stands before it");
        assert_eq!(holm(&[0.9, 0.8]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}
