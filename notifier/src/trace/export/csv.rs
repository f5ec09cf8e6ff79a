//! A table as text (RFC 4180): `tsc,time_us,cpu,tid,event` and then every field there is, empty where an event has it not.

use super::{Clock, Export, ExportError, Whole, row, write_threads};
use crate::trace::{
    describe::{Field, FieldKind},
    event::Item,
    head::Tail,
};
use std::{borrow::Cow, fmt::Write};

/// Writes it.
pub(super) struct Csv {
    file: Whole,
    clock: Clock,
    line: String,
}

impl Csv {
    pub(super) fn create(path: &std::path::Path, clock: Clock) -> Result<Self, ExportError> {
        let mut file = Whole::create(path)?;
        let mut line = String::from("tsc,time_us,cpu,tid,event");
        for field in Field::ALL {
            line.push(',');
            line.push_str(field.name());
        }
        line.push_str("\r\n");
        file.write(line.as_bytes())?;
        Ok(Self { file, clock, line })
    }

    fn row(&mut self, row: &row::Row) -> Result<(), ExportError> {
        self.line.clear();
        // Nothing can go wrong in writing to a string.
        let _ = self.put(row);
        self.file.write(self.line.as_bytes())
    }

    fn put(&mut self, row: &row::Row) -> std::fmt::Result {
        let line = &mut self.line;
        write!(line, "{},{:.3},", row.tsc, self.clock.microseconds(row.tsc))?;
        if let Some(cpu) = row.cpu {
            write!(line, "{cpu}")?;
        }
        line.push(',');
        if let Some(tid) = row.tid {
            write!(line, "{tid}")?;
        }
        write!(line, ",{}", row.event)?;
        for field in Field::ALL {
            line.push(',');
            if let Some(value) = row.fields.get(*field) {
                match field.kind() {
                    FieldKind::Hex => write!(line, "{value:#x}")?,
                    FieldKind::Decimal => write!(line, "{value}")?,
                    FieldKind::Signed => write!(line, "{}", value.cast_signed())?,
                }
            }
        }
        line.push_str("\r\n");
        Ok(())
    }
}

impl Export for Csv {
    fn item(&mut self, item: &Item) -> Result<(), ExportError> {
        row::rows(item, |row| self.row(row))
    }

    fn finish(self: Box<Self>, tail: Option<&Tail>) -> Result<(), ExportError> {
        write_threads(&self.file.path, tail)?;
        self.file.keep()
    }
}

/// A text as one field.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains([',', '"', '\r', '\n']) { Cow::Owned(format!("\"{}\"", text.replace('"', "\"\""))) } else { text.into() }
}
