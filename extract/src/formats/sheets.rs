//! Excel: cells as text, by calamine.

use std::io::Cursor;

use calamine::{Data, DataRef, Reader, Xls, XlsError, Xlsb, Xlsx};

use super::archive::{Zip, content};
use crate::gather::{Gather, Read, Trouble, broken};

/// `xlsx` and `xlsb`. Everything is expanded once within the limits before the reader, which
/// knows none, expands it.
pub(super) fn in_zip(
    octets: &[u8],
    archive: &mut Zip<'_>,
    names: &[String],
    gather: &mut Gather,
) -> Read {
    for at in 0..names.len() {
        content(archive, at, gather)?;
    }
    match names.iter().any(|name| name == "xl/workbook.bin") {
        true => binary(octets, gather),
        false => xml(octets, gather),
    }
}

fn xml(octets: &[u8], gather: &mut Gather) -> Read {
    let mut book = Xlsx::new(Cursor::new(octets)).map_err(broken)?;
    for name in book.sheet_names() {
        gather.label(&name)?;
        let mut cells = match book.worksheet_cells_reader(&name) {
            Ok(cells) => cells,
            // A sheet of charts has no cells.
            Err(calamine::XlsxError::NotAWorksheet(_)) => continue,
            Err(error) => return Err(broken(error)),
        };
        let mut row = 0;
        while let Some(found) = cells.next_cell().map_err(broken)? {
            put(found.get_position().0, &mut row, found.get_value(), gather)?;
        }
    }
    gather.new_line()
}

fn binary(octets: &[u8], gather: &mut Gather) -> Read {
    let mut book = Xlsb::new(Cursor::new(octets)).map_err(broken)?;
    for name in book.sheet_names() {
        gather.label(&name)?;
        let mut cells = book.worksheet_cells_reader(&name).map_err(broken)?;
        let mut row = 0;
        while let Some(found) = cells.next_cell().map_err(broken)? {
            put(found.get_position().0, &mut row, found.get_value(), gather)?;
        }
    }
    gather.new_line()
}

fn put(at: u32, row: &mut u32, value: &DataRef<'_>, gather: &mut Gather) -> Read {
    if at != *row {
        gather.new_line()?;
        *row = at;
    }
    cell(&Data::from(value.clone()), gather)
}

fn cell(value: &Data, gather: &mut Gather) -> Read {
    let text = match value {
        Data::Empty => return Ok(()),
        Data::DateTime(time) if time.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
            match (hour, minute, second) {
                (0, 0, 0) => format!("{year:04}-{month:02}-{day:02}"),
                _ => format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"),
            }
        }
        other => other.to_string(),
    };
    gather.push(&text)?;
    gather.push("\t")
}

/// `xls` (BIFF).
pub(super) fn old(octets: &[u8], gather: &mut Gather) -> Read {
    let mut book = Xls::new(Cursor::new(octets)).map_err(|error| match error {
        XlsError::Password => Trouble::Encrypted("the workbook has a password".into()),
        error => broken(error),
    })?;
    for name in book.sheet_names() {
        gather.label(&name)?;
        let range = book.worksheet_range(&name).map_err(broken)?;
        let (mut row, mut first) = (0, true);
        for (at, _, value) in range.used_cells() {
            if at != row || first {
                gather.new_line()?;
                (row, first) = (at, false);
            }
            cell(value, gather)?;
        }
    }
    gather.new_line()
}
