//! All that an index says, in words: for whoever makes sure that something is in it no more.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use tantivy::schema::TantivyDocument;
use tantivy::{Document, Index};

use super::gentle::Gentle;

/// What lies in the folder of one index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Every term of every segment, of documents that were deleted too.
    pub terms: Vec<Vec<u8>>,
    /// Every document as it is stored, deleted ones too.
    pub stored: Vec<String>,
    /// Files that are of no segment, and no list of them either.
    pub strays: Vec<String>,
}

/// Reads an index to its end. Blocks.
///
/// # Errors
/// Why it cannot be read.
pub fn contents(folder: &Path) -> Result<Contents, String> {
    read(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn read(folder: &Path) -> tantivy::Result<Contents> {
    let index = Index::open(Gentle::open(folder)?)?;
    let (mut contents, schema) = (Contents::default(), index.schema());
    for segment in index.reader()?.searcher().segment_readers() {
        for (field, _) in schema.fields().filter(|(_, entry)| entry.is_indexed()) {
            let inverted = segment.inverted_index(field)?;
            let mut terms = inverted.terms().stream()?;
            while terms.advance() {
                contents.terms.push(terms.key().to_vec());
            }
        }
        let store = segment.get_store_reader(1)?;
        for document in store.iter::<TantivyDocument>(None) {
            contents.stored.push(document?.to_json(&schema));
        }
    }
    contents.strays = strays(folder, &index)?;
    Ok(contents)
}

fn strays(folder: &Path, index: &Index) -> tantivy::Result<Vec<String>> {
    let listed = index.load_metas()?.list_segment_files();
    let known: BTreeSet<String> = listed.iter().map(|file| file.display().to_string()).collect();
    let mut strays = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // Lists of files, and locks, have neither terms nor documents.
        let list = name.ends_with(".json") || name.starts_with('.');
        if !list && !known.contains(&name) {
            strays.push(name);
        }
    }
    Ok(strays)
}
