//! The sheets of an Excel workbook (xlsx) as tables, cell by cell: a sheet that claims cells in its last row and
//! column takes no more memory than one that has two cells.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use calamine::{Data, DataRef, Reader, Xlsx};

use super::MAX_HTML_BYTES;
use super::archive::Archive;
use super::xml::escape;

/// Most cells read of a workbook.
const MAX_CELLS: usize = 50_000;
/// Most columns shown of a sheet: those with content, from the left.
const MAX_COLUMNS: usize = 128;

/// All sheets.
pub(super) fn workbook(archive: &mut Archive<'_>, bytes: &[u8]) -> Option<String> {
    // The reader of workbooks unpacks what it needs without a limit of its own.
    if !archive.harmless() {
        return None;
    }
    let mut book: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).ok()?;
    let (mut html, mut left) = (String::new(), MAX_CELLS);
    for name in book.sheet_names() {
        let Some(rows) = rows(&mut book, &name, &mut left) else { continue };
        html.push_str("<h2>");
        escape(&mut html, &name);
        html.push_str("</h2>");
        table(&mut html, &rows);
        if left == 0 || html.len() > MAX_HTML_BYTES {
            break;
        }
    }
    Some(html)
}

type Rows = BTreeMap<u32, BTreeMap<u32, String>>;

fn rows(book: &mut Xlsx<Cursor<&[u8]>>, name: &str, left: &mut usize) -> Option<Rows> {
    let mut cells = book.worksheet_cells_reader(name).ok()?;
    let mut rows = Rows::new();
    while *left > 0 {
        // A sheet that breaks off is a sheet as far as it goes.
        let Ok(Some(cell)) = cells.next_cell() else { break };
        let text = shown(cell.get_value());
        if !text.is_empty() {
            let (row, column) = cell.get_position();
            rows.entry(row).or_default().insert(column, text);
            *left -= 1;
        }
    }
    Some(rows)
}

fn shown(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Empty => String::new(),
        DataRef::String(text) => text.clone(),
        DataRef::SharedString(text) => (*text).to_owned(),
        DataRef::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            let date = format!("{year:04}-{month:02}-{day:02}");
            if (hour, minute, second) == (0, 0, 0) {
                date
            } else {
                format!("{date} {hour:02}:{minute:02}:{second:02}")
            }
        }
        other => Data::from(other.clone()).to_string(),
    }
}

fn table(html: &mut String, rows: &Rows) {
    let columns: BTreeSet<u32> = rows.values().flat_map(BTreeMap::keys).copied().collect();
    let columns: Vec<u32> = columns.into_iter().take(MAX_COLUMNS).collect();
    html.push_str("<table>");
    for row in rows.values() {
        html.push_str("<tr>");
        for column in &columns {
            html.push_str("<td>");
            escape(html, row.get(column).map_or("", String::as_str));
            html.push_str("</td>");
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
}
