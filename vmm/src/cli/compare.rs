//! `nostale compare A B`: what two recordings of a kernel's invalidations differ in.

use super::{
    Refused,
    args::{Common, CompareOptions},
    output,
};
use crate::report::{
    Format,
    compare::{Options, exit_status, read, render},
    outdir::OutDir,
};
use nostale_notifier::trace::compare::{Recorded, compare as compared};
use std::process::ExitCode;

pub(super) fn compare(options: &CompareOptions, common: &Common) -> Result<ExitCode, Refused> {
    let out = common.out.as_deref().map(OutDir::prepare).transpose()?;
    let names = [&options.a, &options.b].map(|path| path.display().to_string());
    let (a, b) = (read(&options.a)?, read(&options.b)?);
    let comparison =
        compared(Recorded { path: &names[0], profile: &a }, Recorded { path: &names[1], profile: &b }, options.alpha);
    if let Some(out) = out {
        out.write_compare(&comparison)?;
        let path = out.commit()?;
        if common.format == Format::Human && !common.quiet {
            eprintln!("everything is kept in {}", path.display());
        }
    }
    let options = Options { width: output::width(), color: output::colour(common) };
    output::print(&render(&comparison, common.format, &options))?;
    Ok(ExitCode::from(exit_status(&comparison)))
}
