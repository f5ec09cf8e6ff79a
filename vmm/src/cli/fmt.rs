//! `nostale fmt`: model files in the one layout that the language has.

use super::{
    CANNOT, Refused,
    args::{Common, FmtOptions},
    files::{self, Unusable},
    output,
};
use crate::report::Format;
use nostale_notifier::lang::{Diagnostic, Sources, format};
use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Exit status of `--check` where something would change.
const CHANGES: u8 = 1;

pub(super) fn fmt(options: &FmtOptions, common: &Common) -> Result<ExitCode, Refused> {
    if common.format != Format::Human || common.out.is_some() {
        return Err("fmt has no results: leave --format and --out out".into());
    }
    if files::is_stdin(&options.paths)? {
        return stdin(options, common);
    }
    let (found, unusable) = files::find(&options.paths);
    let mut failed = !unusable.is_empty();
    unusable.iter().for_each(|unusable| say(unusable, common));
    let mut changes = false;
    for path in found {
        match one(&path, options.check, common) {
            Ok(false) => {}
            Ok(true) => {
                changes = true;
                if options.check || !common.quiet {
                    let verb = if options.check { "would be" } else { "is" };
                    output::print(&format!("{} {verb} formatted\n", path.display()))?;
                }
            }
            Err(said) => {
                said.iter().for_each(|unusable| say(unusable, common));
                failed = true;
            }
        }
    }
    Ok(ended(failed, options.check && changes))
}

fn ended(failed: bool, would_change: bool) -> ExitCode {
    match (failed, would_change) {
        (true, _) => ExitCode::from(CANNOT),
        (_, true) => ExitCode::from(CHANGES),
        _ => ExitCode::SUCCESS,
    }
}

/// What a file cannot be used for, on standard error.
fn say(unusable: &Unusable, common: &Common) {
    let shown = Diagnostic::error(unusable.message()).render(&Sources::default(), output::colour_of_errors(common));
    eprintln!("{shown}\n");
}

/// From standard input to standard output.
fn stdin(options: &FmtOptions, common: &Common) -> Result<ExitCode, Refused> {
    let text = files::stdin().map_err(|unusable| unusable.message())?;
    let Some(formatted) = formatted(files::STDIN_NAME, &text, common) else { return Ok(ended(true, false)) };
    if !options.check {
        output::print(&formatted)?;
    }
    Ok(ended(false, options.check && formatted != text))
}

/// The text as it should be; none if it cannot be read, and that has been said.
fn formatted(name: &str, text: &str, common: &Common) -> Option<String> {
    let sources = Sources::new(name, text);
    let wrong = match format(&sources, 0) {
        Ok(formatted) => return Some(formatted),
        Err(diagnostics) => diagnostics.render(&sources, output::colour_of_errors(common)),
    };
    eprintln!("{}\n", wrong.trim_end());
    None
}

/// Whether a file changes; an error that has not been said yet, if any.
fn one(path: &Path, only_look: bool, common: &Common) -> Result<bool, Option<Unusable>> {
    let text = files::read(path).map_err(Some)?;
    let formatted = formatted(&path.display().to_string(), &text, common).ok_or(None)?;
    let changes = formatted != text;
    if changes && !only_look {
        replace(path, &formatted).map_err(|error| Some(Unusable::new(path, error)))?;
    }
    Ok(changes)
}

/// Writes the new text whole, in the place of the old one.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // A link stays, and what it leads to changes.
    let path: PathBuf = fs::canonicalize(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let mut new = tempfile::Builder::new().prefix(".nostale-fmt-").tempfile_in(directory)?;
    new.write_all(text.as_bytes())?;
    new.as_file().set_permissions(fs::metadata(&path)?.permissions())?;
    new.as_file().sync_all()?;
    new.persist(&path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_file_is_replaced_with_its_mode_and_behind_its_link() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let (file, link) = (place.path().join("m.nst"), place.path().join("link.nst"));
        fs::write(&file, "old").expect("written");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("ours");
        symlink(&file, &link).expect("linked");
        replace(&link, "new").expect("replaced");
        assert_eq!(fs::read_to_string(&file).expect("there"), "new");
        assert!(link.symlink_metadata().expect("there").is_symlink());
        assert_eq!(fs::metadata(&file).expect("there").mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(place.path()).expect("there").count(), 2, "nothing else is left");
    }
}
