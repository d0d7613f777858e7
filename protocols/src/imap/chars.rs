//! Classes of octets (RFC 9051 section 9).

/// list-wildcards
pub(crate) fn is_list_wildcard(byte: u8) -> bool {
    matches!(byte, b'%' | b'*')
}

/// ATOM-CHAR: printable ASCII but atom-specials.
pub(crate) fn is_atom_char(byte: u8) -> bool {
    byte.is_ascii_graphic()
        && !matches!(byte, b'(' | b')' | b'{' | b'"' | b'\\' | b']')
        && !is_list_wildcard(byte)
}

/// ASTRING-CHAR: `]` may stand in an astring.
pub(crate) fn is_astring_char(byte: u8) -> bool {
    is_atom_char(byte) || byte == b']'
}

/// A tag's characters: ASTRING-CHAR but `+`.
pub(crate) fn is_tag_char(byte: u8) -> bool {
    is_astring_char(byte) && byte != b'+'
}

/// list-char: what a pattern may have without quotes.
pub(crate) fn is_list_char(byte: u8) -> bool {
    is_astring_char(byte) || is_list_wildcard(byte)
}
