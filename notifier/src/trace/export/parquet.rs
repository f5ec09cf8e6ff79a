//! A table in columns: Apache Parquet. The columns are those of the CSV file, with their types; what the recording says of itself
//! stands in the file's metadata.

use super::{Clock, Export, ExportError, Whole, row, write_threads};
use crate::trace::{
    describe::{Field, FieldKind},
    event::Item,
    head::{Head, Tail},
};
use parquet::{
    basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical},
    data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type},
    errors::ParquetError,
    file::{
        metadata::KeyValue,
        properties::WriterProperties,
        writer::{SerializedColumnWriter, SerializedFileWriter, SerializedRowGroupWriter},
    },
    schema::types::{ColumnPath, Type},
};
use std::{
    collections::HashMap,
    io::{self, BufWriter},
    path::{Path, PathBuf},
    sync::Arc,
};
use tempfile::NamedTempFile;

/// Rows that are held back until they are written together. What a reader has to have in memory at once, and enough to compress well.
const ROWS: usize = 1 << 17;

/// Writes it.
pub(super) struct Parquet {
    file: SerializedFileWriter<BufWriter<NamedTempFile>>,
    path: PathBuf,
    clock: Clock,
    rows: Rows,
    /// Each name of an event once: the same bytes in all of its rows.
    names: HashMap<&'static str, ByteArray>,
    tsc_of_first: Option<u64>,
}

/// Rows, by column.
struct Rows {
    tsc: Vec<i64>,
    time_us: Vec<f64>,
    cpu: Sparse<i32>,
    tid: Sparse<i32>,
    event: Vec<ByteArray>,
    fields: Vec<Sparse<i64>>,
}

/// A column in which values may be missing: Parquet wants those that are there, and for each row whether it is (1) or not (0).
struct Sparse<T> {
    values: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Sparse<T> {
    const fn new() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }

    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.values.extend(value);
    }

    fn clear(&mut self) {
        self.values.clear();
        self.levels.clear();
    }
}

impl Parquet {
    pub(super) fn create(path: &Path, head: &Head, clock: Clock) -> Result<Self, ExportError> {
        let file = Whole::create(path)?.file;
        let failed = |source| ExportError::Parquet { path: path.to_owned(), source };
        let schema = Arc::new(schema().map_err(failed)?);
        let file = SerializedFileWriter::new(file, schema, Arc::new(properties(head))).map_err(failed)?;
        let rows = Rows {
            tsc: Vec::new(),
            time_us: Vec::new(),
            cpu: Sparse::new(),
            tid: Sparse::new(),
            event: Vec::new(),
            fields: Field::ALL.iter().map(|_| Sparse::new()).collect(),
        };
        Ok(Self { file, path: path.to_owned(), clock, rows, names: HashMap::new(), tsc_of_first: None })
    }

    fn row(&mut self, row: &row::Row) -> Result<(), ExportError> {
        self.tsc_of_first.get_or_insert(row.tsc);
        let Rows { tsc, time_us, cpu, tid, event, fields } = &mut self.rows;
        tsc.push(row.tsc.cast_signed());
        time_us.push(self.clock.microseconds(row.tsc));
        cpu.push(row.cpu.map(i32::from));
        tid.push(row.tid);
        event.push(self.names.entry(row.event).or_insert_with(|| ByteArray::from(row.event)).clone());
        for (column, field) in fields.iter_mut().zip(Field::ALL) {
            column.push(row.fields.get(*field).map(u64::cast_signed));
        }
        if self.rows.tsc.len() >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ExportError> {
        if self.rows.tsc.is_empty() {
            return Ok(());
        }
        let written = self.file.next_row_group().and_then(|group| self.rows.write(group));
        written.map_err(|source| ExportError::Parquet { path: self.path.clone(), source })
    }
}

impl Rows {
    /// Writes the columns in the order of the schema, and forgets them.
    fn write<W: io::Write + Send>(&mut self, mut group: SerializedRowGroupWriter<'_, W>) -> Result<(), ParquetError> {
        let Self { tsc, time_us, cpu, tid, event, fields } = self;
        put::<Int64Type>(group.next_column()?, tsc, None)?;
        put::<DoubleType>(group.next_column()?, time_us, None)?;
        put::<Int32Type>(group.next_column()?, &cpu.values, Some(&cpu.levels))?;
        put::<Int32Type>(group.next_column()?, &tid.values, Some(&tid.levels))?;
        put::<ByteArrayType>(group.next_column()?, event, None)?;
        for field in &mut *fields {
            put::<Int64Type>(group.next_column()?, &field.values, Some(&field.levels))?;
            field.clear();
        }
        group.close()?;
        tsc.clear();
        time_us.clear();
        cpu.clear();
        tid.clear();
        event.clear();
        Ok(())
    }
}

fn put<T: DataType>(
    column: Option<SerializedColumnWriter<'_>>,
    values: &[T::T],
    levels: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let Some(mut column) = column else { return Err(ParquetError::General("more columns than the schema has".into())) };
    column.typed::<T>().write_batch(values, levels, None)?;
    column.close()
}

impl Export for Parquet {
    fn item(&mut self, item: &Item) -> Result<(), ExportError> {
        row::rows(item, |row| self.row(row))
    }

    fn finish(mut self: Box<Self>, tail: Option<&Tail>) -> Result<(), ExportError> {
        self.flush()?;
        if let Some(first) = self.tsc_of_first {
            self.file.append_key_value_metadata(KeyValue::new("first_tsc".to_owned(), first.to_string()));
        }
        if let Some(tail) = tail {
            let lost: u64 = tail.lost.values().fold(0, |sum, lost| sum.saturating_add(*lost));
            self.file.append_key_value_metadata(KeyValue::new("lost_events".to_owned(), lost.to_string()));
        }
        let Self { file, path, .. } = *self;
        write_threads(&path, tail)?;
        let file = file.into_inner().map_err(|source| ExportError::Parquet { path: path.clone(), source })?;
        Whole { file, path }.keep()
    }
}

fn schema() -> Result<Type, ParquetError> {
    let unsigned = |bits| LogicalType::integer(bits, false);
    let mut columns = vec![
        column("tsc", Physical::INT64, Repetition::REQUIRED, Some(unsigned(64)))?,
        column("time_us", Physical::DOUBLE, Repetition::REQUIRED, None)?,
        column("cpu", Physical::INT32, Repetition::OPTIONAL, Some(unsigned(16)))?,
        column("tid", Physical::INT32, Repetition::OPTIONAL, None)?,
        column("event", Physical::BYTE_ARRAY, Repetition::REQUIRED, Some(LogicalType::String))?,
    ];
    for field in Field::ALL {
        let logical = match field.kind() {
            FieldKind::Hex | FieldKind::Decimal => Some(unsigned(64)),
            FieldKind::Signed => None,
        };
        columns.push(column(field.name(), Physical::INT64, Repetition::OPTIONAL, logical)?);
    }
    Type::group_type_builder("event").with_fields(columns.into_iter().map(Arc::new).collect()).build()
}

fn column(name: &str, kind: Physical, there: Repetition, logical: Option<LogicalType>) -> Result<Type, ParquetError> {
    Type::primitive_type_builder(name, kind).with_repetition(there).with_logical_type(logical).build()
}

fn properties(head: &Head) -> WriterProperties {
    let about = [
        ("kernel", head.kernel.clone()),
        ("cpu", head.cpu.clone()),
        ("cpus", head.cpus.to_string()),
        ("mmu", format!("{:?}", head.mmu).to_lowercase()),
        ("hertz", head.hertz.to_string()),
        ("began", head.began.to_string()),
        ("pid", head.pid.map(|pid| pid.to_string()).unwrap_or_default()),
        ("command", head.command.clone()),
        ("title", head.title.clone()),
    ];
    let about = about.into_iter().map(|(key, value)| KeyValue::new(key.to_owned(), value)).collect();
    // Times never repeat: a dictionary would only be in the way. They grow slowly, which these encodings are made for.
    WriterProperties::builder()
        .set_created_by(concat!("nostale version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::LZ4_RAW)
        .set_column_dictionary_enabled(ColumnPath::from("tsc"), false)
        .set_column_encoding(ColumnPath::from("tsc"), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(ColumnPath::from("time_us"), false)
        .set_column_encoding(ColumnPath::from("time_us"), Encoding::BYTE_STREAM_SPLIT)
        .set_key_value_metadata(Some(about))
        .build()
}
