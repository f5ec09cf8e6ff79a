//! The word that was meant, when somebody wrote one that is not known.

/// The nearest of `known`, if it is near at all: with words of one letter, and where every letter differs, nothing is.
pub fn near<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes a word that long, and to compare it would take for ever.
    const LONGEST: usize = 100;
    let known = known.into_iter().filter(|known| word.len().max(known.len()) <= LONGEST);
    let distances = known.map(|known| (strsim::damerau_levenshtein(word, known), known));
    let near = |distance: usize, known: &str| {
        let shorter = word.len().min(known.len());
        shorter > 1 && distance < shorter && distance <= known.len().div_ceil(3)
    };
    distances.filter(|&(distance, known)| known.eq_ignore_ascii_case(word) || near(distance, known)).min().map(|(_, known)| known)
}

/// The nearest of `known`, if no more than one letter in three is wrong: for places where another word may well be right.
pub fn slip<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near(word, known).filter(|meant| strsim::damerau_levenshtein(word, meant) <= (word.len() / 3).max(1))
}

/// ` (did you mean 'x'?)` for the nearest of `known`, if it is near at all.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    near(word, known).map_or(String::new(), |known| format!(" (did you mean '{known}'?)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_is_found_and_what_is_not_is_not() {
        let known = ["thread", "op", "never"];
        assert_eq!(near("thraed", known), Some("thread"));
        assert_eq!(near("nevr", known), Some("never"));
        assert_eq!(near("page", known), None);
        assert_eq!((near("lock", ["loop"]), slip("lock", ["loop"])), (Some("loop"), None));
        assert_eq!(slip("whlie", ["while"]), Some("while"));
        assert_eq!(did_you_mean("opp", known), " (did you mean 'op'?)");
        assert_eq!(did_you_mean("x", known), "");
    }

    #[test]
    fn one_letter_is_not_another_and_case_alone_is_near() {
        assert_eq!((near("a", ["b", "op"]), near("of", ["a", "x"]), near("q", ["qq"])), (None, None, None));
        assert_eq!((near("a", ["A", "b"]), near("PTE", ["pte"])), (Some("A"), Some("pte")));
        assert_eq!(near("ab", ["cd", "xy"]), None);
    }
}
