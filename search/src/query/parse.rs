//! Text to a query: by recursive descent, a character at a time, with a bound on all of it.

use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_store::moment::Moment;

use super::ast::{Expr, Place};
use super::error::{Problem, QueryError, like};
use super::ops::{HEADER, Kind, Op};
use super::pattern::{Chain, Pattern};
use super::value;
use super::{MAX_DEPTH, MAX_GAP, MAX_OCTETS, MAX_TERMS, NEAR};

/// What holds for the whole query.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Settings {
    pub(super) as_of: Option<Moment>,
    pub(super) zone: Option<(String, TimeZone)>,
}

/// What a value belongs to: an operator, and the name in `header[Name]:`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field<'a> {
    pub(super) op: &'static Op,
    pub(super) header: &'a str,
}

/// A value as written, without its quotation marks.
pub(super) struct Value {
    pub(super) text: String,
    pub(super) quoted: bool,
    pub(super) at: usize,
}

pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    terms: usize,
    pub(super) now: &'a Zoned,
    pub(super) settings: Settings,
}

type Parsed<T> = Result<T, QueryError>;

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, now: &'a Zoned) -> Self {
        Self { text, at: 0, depth: 0, terms: 0, now, settings: Settings::default() }
    }

    pub(super) fn whole(mut self) -> Parsed<(Expr, Settings)> {
        if self.text.len() > MAX_OCTETS {
            return Err(self.wrong(0, Problem::TooLong(MAX_OCTETS)));
        }
        let expr = self.or(None)?;
        match self.peek() {
            Some(_) => Err(self.wrong(self.at, Problem::ClosingBracket)),
            None => Ok((expr.unwrap_or(Expr::All), self.settings)),
        }
    }

    pub(super) fn wrong(&self, at: usize, problem: Problem) -> QueryError {
        QueryError::new(self.text, at, problem)
    }

    // ------------------------------------------------------------ characters

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn take(&mut self, c: char) -> bool {
        let there = self.peek() == Some(c);
        self.at += if there { c.len_utf8() } else { 0 };
        there
    }

    /// Whether this keyword stands here, in capital letters.
    fn is_at(&self, keyword: &str) -> bool {
        let behind = self.rest().strip_prefix(keyword);
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"');
        behind.is_some_and(|behind| behind.chars().next().is_none_or(ends))
    }

    fn take_keyword(&mut self, keyword: &str) -> bool {
        let there = self.is_at(keyword);
        self.at += if there { keyword.len() } else { 0 };
        there
    }

    fn ends(&self) -> bool {
        matches!(self.peek(), None | Some(')'))
    }

    // --------------------------------------------------------------- grammar

    /// `a OR b`, which binds less than AND.
    fn or(&mut self, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        let mut arms = Vec::new();
        loop {
            let arm = self.and(field)?;
            let at = self.at;
            let another = self.take_keyword("OR");
            match arm {
                Some(arm) => arms.push(arm),
                None if another => return Err(self.wrong(at, Problem::Missing("OR", "before"))),
                None if !arms.is_empty() => {
                    return Err(self.wrong(at, Problem::Missing("OR", "behind")));
                }
                None => return Ok(None),
            }
            if !another {
                return Ok(Some(flat(arms, false)));
            }
        }
    }

    /// `a b`, `a AND b`; nothing but settings is `None`.
    fn and(&mut self, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        let mut all = Vec::new();
        let mut begun = false;
        loop {
            self.skip_space();
            let at = self.at;
            if self.take_keyword("AND") {
                self.skip_space();
                let missing = |side| Problem::Missing("AND", side);
                if !begun {
                    return Err(self.wrong(at, missing("before")));
                }
                if self.ends() || self.is_at("OR") || self.is_at("AND") {
                    return Err(self.wrong(at, missing("behind")));
                }
            }
            if self.ends() || self.is_at("OR") {
                return Ok((!all.is_empty()).then(|| flat(all, true)));
            }
            all.extend(self.unary(field)?);
            begun = true;
        }
    }

    fn unary(&mut self, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        let at = self.at;
        if self.take_keyword("NOT") {
            self.skip_space();
            let missing = Problem::Missing("NOT", "behind");
            return match self.ends() || self.is_at("OR") || self.is_at("AND") {
                true => Err(self.wrong(at, missing)),
                false => self.not(at, field),
            };
        }
        if !self.take('-') {
            return self.near(field);
        }
        match self.peek() {
            Some(c) if !c.is_whitespace() && c != ')' => self.not(at, field),
            _ => Err(self.wrong(at, Problem::Dash)),
        }
    }

    fn not(&mut self, at: usize, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        self.deeper(at)?;
        let denied = self.unary(field)?;
        self.depth -= 1;
        Ok(denied.map(|denied| Expr::Not(Box::new(denied))))
    }

    fn deeper(&mut self, at: usize) -> Parsed<()> {
        self.depth += 1;
        match self.depth > MAX_DEPTH {
            true => Err(self.wrong(at, Problem::TooDeep(MAX_DEPTH))),
            false => Ok(()),
        }
    }

    /// `a NEAR(3) b`
    fn near(&mut self, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        let mut left = self.atom(field)?;
        loop {
            let before = self.at;
            self.skip_space();
            let at = self.at;
            if !self.take_keyword("NEAR") {
                self.at = before;
                return Ok(left);
            }
            let gap = self.gap()?;
            self.skip_space();
            if self.ends() {
                return Err(self.wrong(at, Problem::Missing("NEAR", "behind")));
            }
            let right = self.atom(field)?;
            left = match (left, right) {
                (Some(Expr::Text(place, mut chain)), Some(Expr::Text(other, next)))
                    if place == other && next.rest.is_empty() =>
                {
                    chain.rest.push((gap, next.first));
                    Some(Expr::Text(place, chain))
                }
                _ => return Err(self.wrong(at, Problem::Near)),
            };
        }
    }

    fn gap(&mut self) -> Parsed<u32> {
        let at = self.at;
        if !self.take('(') {
            return Ok(NEAR);
        }
        let digits = self.rest().find(')').and_then(|end| self.rest().get(..end));
        let gap = digits.and_then(|digits| digits.parse().ok()).filter(|gap| *gap <= MAX_GAP);
        let (Some(gap), Some(digits)) = (gap, digits) else {
            return Err(self.wrong(at, Problem::NearNumber(MAX_GAP)));
        };
        self.at += digits.len() + 1;
        Ok(gap)
    }

    fn atom(&mut self, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        let at = self.at;
        for keyword in ["AND", "OR", "NEAR"] {
            if self.is_at(keyword) {
                return Err(self.wrong(at, Problem::Missing(keyword, "before")));
            }
        }
        if self.peek() == Some('(') {
            return self.brackets(field).map(Some);
        }
        match self.operator(field)? {
            Some(inner) if self.peek() == Some('(') => self.brackets(Some(inner)).map(Some),
            inner => self.term(inner.or(field)),
        }
    }

    fn brackets(&mut self, field: Option<Field<'_>>) -> Parsed<Expr> {
        let at = self.at;
        if let Some(Field { op, .. }) = field.filter(|field| is_setting(field.op)) {
            return Err(self.wrong(at, Problem::Whole(op.name)));
        }
        self.deeper(at)?;
        self.take('(');
        let inner = self.or(field)?;
        if !self.take(')') {
            return Err(self.wrong(at, Problem::OpenBracket));
        }
        self.depth -= 1;
        self.boundary()?;
        inner.ok_or_else(|| self.wrong(at, Problem::EmptyBrackets))
    }

    /// `name:` or `header[Name]:`, where one stands here.
    fn operator(&mut self, within: Option<Field<'_>>) -> Parsed<Option<Field<'a>>> {
        let at = self.at;
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let (name, behind) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let (header, behind) = match behind.strip_prefix('[').and_then(|b| b.split_once("]:")) {
            Some((header, behind)) if name.eq_ignore_ascii_case("header") => (Some(header), behind),
            _ => match behind.strip_prefix(':') {
                Some(behind) if !name.is_empty() => (None, behind),
                _ => return Ok(None),
            },
        };
        if let Some(field) = within {
            return Err(self.wrong(at, Problem::Within(field.op.name)));
        }
        let op = match header {
            Some(name) => Some(&HEADER).filter(|_| is_field_name(name)),
            None => Op::named(name),
        };
        let Some(op) = op else { return Err(self.unknown(at, name)) };
        self.at = self.text.len() - behind.len();
        match self.peek() {
            Some(c) if !c.is_whitespace() && c != ')' => {}
            _ => {
                let (name, example) = (op.name, op.example);
                return Err(self.wrong(self.at, Problem::NoValue { name, example }));
            }
        }
        Ok(Some(Field { op, header: header.unwrap_or_default() }))
    }

    fn unknown(&self, at: usize, name: &str) -> QueryError {
        if name.eq_ignore_ascii_case("header") {
            let (name, example) = (HEADER.name, HEADER.example);
            return self.wrong(at, Problem::NoValue { name, example });
        }
        let meant = like(name, Op::names());
        let name = name.chars().take(40).collect();
        self.wrong(at, Problem::Unknown { name, meant })
    }

    /// A value, of an operator or as a word by itself.
    fn term(&mut self, field: Option<Field<'_>>) -> Parsed<Option<Expr>> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.wrong(self.at, Problem::TooManyTerms(MAX_TERMS)));
        }
        let value = self.value()?;
        self.boundary()?;
        match field {
            None => Ok(Some(Expr::Text(Place::Anywhere, Chain::of(self.pattern(&value)?)))),
            Some(field) if is_setting(field.op) => self.set(field.op, &value).map(|()| None),
            Some(field) => value::expr(self, field, &value).map(Some),
        }
    }

    fn value(&mut self) -> Parsed<Value> {
        let at = self.at;
        if self.take('"') {
            return Ok(Value { text: self.quoted(at)?, quoted: true, at });
        }
        let rest = self.rest();
        let ends = |c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"');
        let end = rest.find(ends).unwrap_or(rest.len());
        self.at += end;
        let text = rest.get(..end).unwrap_or_default().to_owned();
        Ok(Value { text, quoted: false, at })
    }

    /// Up to the closing quotation mark; a backslash keeps the next character from closing.
    fn quoted(&mut self, at: usize) -> Parsed<String> {
        let mut text = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((n, c)) = chars.next() {
            match c {
                '"' => {
                    self.at += n + 1;
                    return Ok(text);
                }
                '\\' => text.extend(chars.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        Err(self.wrong(at, Problem::OpenQuote))
    }

    /// What stands behind a value is a space, a closing bracket, or nothing.
    fn boundary(&self) -> Parsed<()> {
        match self.peek() {
            Some(c) if !c.is_whitespace() && c != ')' => Err(self.wrong(self.at, Problem::Joined)),
            _ => Ok(()),
        }
    }

    /// A value as words: stars count at its ends, unless it is quoted.
    pub(super) fn pattern(&self, value: &Value) -> Parsed<Pattern> {
        let mut text = value.text.as_str();
        let (mut open_start, mut open_end) = (false, false);
        if !value.quoted {
            text = text.strip_prefix('*').inspect(|_| open_start = true).unwrap_or(text);
            text = text.strip_suffix('*').inspect(|_| open_end = true).unwrap_or(text);
            if let Some(star) = text.find('*') {
                let at = value.at + usize::from(open_start) + star;
                return Err(self.wrong(at, Problem::Star));
            }
            if text.is_empty() {
                return Err(self.wrong(value.at, Problem::Star));
            }
        }
        let pattern = Pattern { open_start, open_end, ..Pattern::phrase(text) };
        match pattern.words.is_empty() {
            true => Err(self.wrong(value.at, Problem::NoWord(text.chars().take(40).collect()))),
            false => Ok(pattern),
        }
    }

    // -------------------------------------------------------------- settings

    fn set(&mut self, op: &'static Op, value: &Value) -> Parsed<()> {
        let twice = match op.kind {
            Kind::Zone => self.settings.zone.is_some(),
            _ => self.settings.as_of.is_some(),
        };
        if self.depth > 0 || twice {
            return Err(self.wrong(value.at, Problem::Whole(op.name)));
        }
        let read = match op.kind {
            Kind::Zone => value::zone(&value.text).map(|zone| self.settings.zone = Some(zone)),
            _ => {
                let moment = Moment::parse(&value.text, self.now).ok();
                moment.map(|moment| self.settings.as_of = Some(moment))
            }
        };
        read.ok_or_else(|| value::refused(self, op, value, None))
    }
}

fn is_setting(op: &Op) -> bool {
    matches!(op.kind, Kind::Zone | Kind::AsOf)
}

/// RFC 5322 section 2.2, without what ends it here.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| matches!(c, 33..=126) && !b":[]\"()".contains(&c))
}

/// Lists within lists of the same kind are one list.
fn flat(all: Vec<Expr>, is_and: bool) -> Expr {
    let mut flat = Vec::with_capacity(all.len());
    for expr in all {
        match expr {
            Expr::And(inner) if is_and => flat.extend(inner),
            Expr::Or(inner) if !is_and => flat.extend(inner),
            expr => flat.push(expr),
        }
    }
    match <[Expr; 1]>::try_from(flat) {
        Ok([one]) => one,
        Err(flat) if is_and => Expr::And(flat),
        Err(flat) => Expr::Or(flat),
    }
}
