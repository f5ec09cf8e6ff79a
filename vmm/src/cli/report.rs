//! `nostale report`: a page for people, from results that were kept.

use super::{
    Refused,
    args::{Common, ReportOptions},
    output,
};
use crate::report::{Format, page};
use std::process::ExitCode;

pub(super) fn report(options: &ReportOptions, common: &Common) -> Result<ExitCode, Refused> {
    if common.format != Format::Human || common.out.is_some() {
        return Err("report writes a page and nothing else: leave --format and --out out; --to FILE says where".into());
    }
    let results = page::gather(&options.directory)?;
    let path = options.to.clone().unwrap_or_else(|| options.directory.join(page::NAME));
    page::write(&path, &page::render(&results))?;
    if !common.quiet {
        // What the page says it does not show, its maker should hear as well.
        for document in results.documents.iter().filter(|document| !document.is_result()) {
            eprintln!("note: {}", document.line());
        }
        if results.left_out > 0 {
            eprintln!("note: {} more documents are left out", results.left_out);
        }
    }
    output::print(&format!("{}\n", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
