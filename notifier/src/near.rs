//! The word that was meant.

/// The nearest of `known`, if it is near at all.
pub fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|known| (strsim::damerau_levenshtein(word, known), known));
    distances.filter(|&(distance, known)| distance <= known.len().div_ceil(3)).min().map(|(_, known)| known)
}

/// ` (did you mean 'x'?)` for the nearest of `known`, if it is near at all.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    near(word, known).map_or(String::new(), |known| format!(" (did you mean '{known}'?)"))
}
