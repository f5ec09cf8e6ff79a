//! `nostale litmus --diff A B`: what two recordings differ in.

use crate::{
    cli::{
        Refused,
        args::{Common, LitmusOptions},
        output,
    },
    report::{
        Format,
        litmus::{
            Options,
            diff::{Recorded, compare, render},
            read,
        },
        outdir::OutDir,
    },
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

pub(super) fn diff([a, b]: [&PathBuf; 2], options: &LitmusOptions, common: &Common) -> Result<ExitCode, Refused> {
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let report = compare(&recorded(a)?, &recorded(b)?, options.alpha);
    if let Some(out) = out {
        out.write_litmus_diff(&report)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            eprintln!("everything is kept in {}", path.display());
        }
    }
    let options = Options { width: output::width(), color: output::colour(common) };
    output::print(&render(&report, common.format, &options))?;
    Ok(ExitCode::from(report.exit_status()))
}

/// What is meant by PATH or PATH:ORDERING. A path that exists is a path, whatever is in its name.
fn recorded(argument: &Path) -> Result<Recorded, Refused> {
    let split = argument.to_str().and_then(|text| text.rsplit_once(':')).filter(|_| !argument.exists());
    let (path, ordering) = split.map_or((argument, None), |(path, ordering)| (Path::new(path), Some(ordering.to_owned())));
    Ok(Recorded::new(path.display().to_string(), ordering, read(path)?)?)
}
