//! Commands as clients write them: the printer that reading is tested against.

use jiff::civil;
use redoubt_log::id::Timestamp;
use redoubt_log::record::{FlagChange, Flags, SpecialUse};

use crate::imap::types::*;
use crate::imap::utf7;

/// How strings are written where there is a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Quoted,
    Literal,
}

struct Printer {
    out: Vec<u8>,
    utf8: bool,
    style: Style,
}

pub(super) fn command(tagged: &TaggedCommand, utf8: bool, style: Style) -> Vec<u8> {
    let mut printer = Printer { out: Vec::new(), utf8, style };
    printer.text(tagged.tag.as_str());
    printer.text(" ");
    printer.command(&tagged.command);
    printer.text("\r\n");
    printer.out
}

fn atom(text: &[u8]) -> bool {
    let special = b"(){ %*\"\\";
    !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() && !special.contains(b))
}

impl Printer {
    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn string(&mut self, octets: &[u8]) {
        let quotable = !octets.iter().any(|b| matches!(b, b'\r' | b'\n'));
        if self.style == Style::Literal || !quotable {
            let plus = if octets.len().is_multiple_of(2) { "+" } else { "" };
            self.text(&format!("{{{}{plus}}}\r\n", octets.len()));
            return self.out.extend_from_slice(octets);
        }
        self.text("\"");
        for byte in octets {
            if matches!(byte, b'"' | b'\\') {
                self.out.push(b'\\');
            }
            self.out.push(*byte);
        }
        self.text("\"");
    }

    fn astring(&mut self, octets: &[u8]) {
        match self.style == Style::Plain && atom(octets) {
            true => self.out.extend_from_slice(octets),
            false => self.string(octets),
        }
    }

    fn mailbox(&mut self, name: &str) {
        let coded = if self.utf8 { name.to_owned() } else { utf7::encode(name) };
        self.astring(coded.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], mut each: impl FnMut(&mut Self, &T)) {
        self.text("(");
        for (at, item) in items.iter().enumerate() {
            self.text(if at > 0 { " " } else { "" });
            each(self, item);
        }
        self.text(")");
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Capability => self.text("CAPABILITY"),
            Command::Noop => self.text("NOOP"),
            Command::Logout => self.text("LOGOUT"),
            Command::StartTls => self.text("STARTTLS"),
            Command::Namespace => self.text("NAMESPACE"),
            Command::Idle => self.text("IDLE"),
            Command::Check => self.text("CHECK"),
            Command::Close => self.text("CLOSE"),
            Command::Unselect => self.text("UNSELECT"),
            Command::Expunge { uids: None } => self.text("EXPUNGE"),
            Command::Expunge { uids: Some(uids) } => self.text(&format!("UID EXPUNGE {uids}")),
            Command::Id(fields) => self.id(fields),
            Command::Authenticate(auth) => self.authenticate(auth),
            Command::Login(login) => self.login(login),
            Command::Enable(names) => self.enable(names),
            Command::Select(select) => self.select(select),
            Command::Create { mailbox, uses } => self.create(mailbox, uses),
            Command::Delete(mailbox) => self.one_mailbox("DELETE ", mailbox),
            Command::Subscribe(mailbox) => self.one_mailbox("SUBSCRIBE ", mailbox),
            Command::Unsubscribe(mailbox) => self.one_mailbox("UNSUBSCRIBE ", mailbox),
            Command::Rename { from, to } => {
                self.one_mailbox("RENAME ", from);
                self.one_mailbox(" ", to);
            }
            Command::List(list) => self.list_command(list),
            Command::Lsub { reference, pattern } => {
                self.text("LSUB ");
                self.mailbox(reference);
                self.text(" ");
                self.pattern(pattern);
            }
            Command::Status { mailbox, items } => {
                self.one_mailbox("STATUS ", mailbox);
                self.text(" ");
                self.status_items(items);
            }
            Command::Append(append) => self.append(append),
            Command::Search(search) => self.search(search),
            Command::Sort(sort) => self.sort(sort),
            Command::Thread(thread) => self.thread(thread),
            Command::Fetch(fetch) => self.fetch(fetch),
            Command::Store(store) => self.store(store),
            Command::Copy(copy) => self.copy("COPY", copy),
            Command::Move(copy) => self.copy("MOVE", copy),
        }
    }

    fn one_mailbox(&mut self, before: &str, mailbox: &MailboxName) {
        self.text(before);
        self.mailbox(mailbox.as_str());
    }

    fn id(&mut self, fields: &[IdField]) {
        if fields.is_empty() {
            return self.text("ID NIL");
        }
        self.text("ID ");
        self.list(fields, |this, (name, value)| {
            this.string(name.as_bytes());
            this.text(" ");
            match value {
                Some(value) => this.string(value.as_bytes()),
                None => this.text("NIL"),
            }
        });
    }

    fn authenticate(&mut self, auth: &Authenticate) {
        use base64::Engine as _;
        self.text(&format!("AUTHENTICATE {}", auth.mechanism));
        if let Some(initial) = &auth.initial {
            let coded = base64::engine::general_purpose::STANDARD.encode(&initial.0);
            self.text(&format!(" {}", if coded.is_empty() { "=" } else { &coded }));
        }
    }

    fn login(&mut self, login: &Login) {
        self.text("LOGIN ");
        self.astring(login.user.as_bytes());
        self.text(" ");
        self.astring(&login.password.0);
    }

    fn enable(&mut self, names: &[Enable]) {
        self.text("ENABLE");
        for name in names {
            let name = match name {
                Enable::CondStore => "CONDSTORE",
                Enable::Qresync => "QRESYNC",
                Enable::Imap4Rev2 => "IMAP4rev2",
                Enable::Utf8Accept => "UTF8=ACCEPT",
                Enable::Other(name) => name,
            };
            self.text(&format!(" {name}"));
        }
    }

    fn select(&mut self, select: &Select) {
        self.one_mailbox(if select.read_only { "EXAMINE " } else { "SELECT " }, &select.mailbox);
        let qresync = select.qresync.as_ref().map(|qresync| {
            let mut text = format!("QRESYNC ({} {}", qresync.uid_validity, qresync.mod_seq);
            if let Some(known) = &qresync.known_uids {
                text += &format!(" {known}");
            }
            if let Some(SequenceMatch { numbers, uids }) = &qresync.sequence_match {
                text += &format!(" ({numbers} {uids})");
            }
            text + ")"
        });
        let condstore = select.condstore.then(|| "CONDSTORE".to_owned());
        let parameters: Vec<String> = condstore.into_iter().chain(qresync).collect();
        if !parameters.is_empty() {
            self.text(&format!(" ({})", parameters.join(" ")));
        }
    }

    fn create(&mut self, mailbox: &MailboxName, uses: &[CreateUse]) {
        self.one_mailbox("CREATE ", mailbox);
        if uses.is_empty() {
            return;
        }
        self.text(" (USE ");
        self.list(uses, |this, one| {
            this.text(match one {
                CreateUse::Known(SpecialUse::Archive) => "\\Archive",
                CreateUse::Known(SpecialUse::Drafts) => "\\Drafts",
                CreateUse::Known(SpecialUse::Junk) => "\\Junk",
                CreateUse::Known(SpecialUse::Sent) => "\\Sent",
                CreateUse::Known(SpecialUse::Trash) => "\\Trash",
                CreateUse::Other(name) => name,
            });
        });
        self.text(")");
    }

    fn pattern(&mut self, pattern: &ListPattern) {
        let coded = if self.utf8 { pattern.0.clone() } else { utf7::encode(&pattern.0) };
        let plain = coded.replace(['*', '%'], "");
        match self.style == Style::Plain
            && !coded.is_empty()
            && (plain.is_empty() || atom(plain.as_bytes()))
        {
            true => self.text(&coded),
            false => self.string(coded.as_bytes()),
        }
    }

    fn list_command(&mut self, list: &List) {
        self.text("LIST ");
        let ListSelection { subscribed, remote, recursive_match, special_use } = list.selection;
        let mut selection: Vec<&str> = Vec::new();
        selection.extend(subscribed.then_some("SUBSCRIBED"));
        selection.extend(remote.then_some("REMOTE"));
        selection.extend(recursive_match.then_some("RECURSIVEMATCH"));
        selection.extend(special_use.then_some("SPECIAL-USE"));
        let several = list.patterns.len() > 1;
        let has_returns = list.returns != ListReturn::default();
        if !selection.is_empty() || (list.extended && !several && !has_returns) {
            self.text(&format!("({}) ", selection.join(" ")));
        }
        self.mailbox(&list.reference);
        self.text(" ");
        match list.patterns.as_slice() {
            [one] => self.pattern(one),
            several => self.list(several, |this, pattern| this.pattern(pattern)),
        }
        if has_returns {
            self.text(" RETURN ");
            self.returns(&list.returns);
        }
    }

    fn returns(&mut self, returns: &ListReturn) {
        let mut words: Vec<&str> = Vec::new();
        words.extend(returns.subscribed.then_some("SUBSCRIBED"));
        words.extend(returns.children.then_some("CHILDREN"));
        words.extend(returns.special_use.then_some("SPECIAL-USE"));
        self.text(&format!("({}", words.join(" ")));
        if let Some(items) = &returns.status {
            self.text(if words.is_empty() { "STATUS " } else { " STATUS " });
            self.status_items(items);
        }
        self.text(")");
    }

    fn status_items(&mut self, items: &[StatusItem]) {
        self.list(items, |this, item| {
            this.text(match item {
                StatusItem::Messages => "MESSAGES",
                StatusItem::Recent => "RECENT",
                StatusItem::UidNext => "UIDNEXT",
                StatusItem::UidValidity => "UIDVALIDITY",
                StatusItem::Unseen => "UNSEEN",
                StatusItem::Deleted => "DELETED",
                StatusItem::Size => "SIZE",
                StatusItem::HighestModSeq => "HIGHESTMODSEQ",
                StatusItem::MailboxId => "MAILBOXID",
            });
        });
    }

    /// Ends with the literal's header but for the line end.
    fn append(&mut self, append: &Append) {
        self.one_mailbox("APPEND ", &append.mailbox);
        let AppendItem { flags, date, literal } = &append.item;
        if *flags != FlagList::default() {
            self.text(" ");
            self.flags(flags);
        }
        if let Some(date) = date {
            self.text(&format!(" {}", date_time(*date)));
        }
        let (tilde, plus) =
            (if literal.binary { "~" } else { "" }, if literal.synchronizing { "" } else { "+" });
        self.text(&format!(" {tilde}{{{}{plus}}}", literal.size));
    }

    fn flags(&mut self, list: &FlagList) {
        let names = [
            (Flags::SEEN, "\\Seen"),
            (Flags::ANSWERED, "\\Answered"),
            (Flags::FLAGGED, "\\Flagged"),
            (Flags::DELETED, "\\Deleted"),
            (Flags::DRAFT, "\\Draft"),
        ];
        let system = names.iter().filter(|(flag, _)| list.flags.contains(*flag));
        let keywords = list.keywords.iter().map(String::as_str);
        let all: Vec<&str> = system.map(|(_, name)| *name).chain(keywords).collect();
        self.text(&format!("({})", all.join(" ")));
    }

    fn uid(&mut self, numbering: Numbering) {
        self.text(if numbering == Numbering::Uid { "UID " } else { "" });
    }

    fn copy(&mut self, name: &str, copy: &Copy) {
        self.uid(copy.numbering);
        self.one_mailbox(&format!("{name} {} ", copy.set), &copy.mailbox);
    }

    fn store(&mut self, store: &Store) {
        self.uid(store.numbering);
        self.text(&format!("STORE {} ", store.set));
        if let Some(since) = store.unchanged_since {
            self.text(&format!("(UNCHANGEDSINCE {since}) "));
        }
        self.text(match store.how {
            FlagChange::Add => "+FLAGS",
            FlagChange::Remove => "-FLAGS",
            FlagChange::Replace => "FLAGS",
        });
        self.text(if store.silent { ".SILENT " } else { " " });
        self.flags(&store.flags);
    }

    fn fetch(&mut self, fetch: &Fetch) {
        self.uid(fetch.numbering);
        self.text(&format!("FETCH {} ", fetch.set));
        self.list(&fetch.items, Self::item);
        let mut modifiers = Vec::new();
        modifiers.extend(fetch.partial.map(|range| format!("PARTIAL {range}")));
        modifiers.extend(fetch.changed_since.map(|since| format!("CHANGEDSINCE {since}")));
        modifiers.extend(fetch.vanished.then(|| "VANISHED".to_owned()));
        if !modifiers.is_empty() {
            self.text(&format!(" ({})", modifiers.join(" ")));
        }
    }

    fn item(&mut self, item: &FetchItem) {
        let name = match item {
            FetchItem::Body => "BODY",
            FetchItem::BodyStructure => "BODYSTRUCTURE",
            FetchItem::Envelope => "ENVELOPE",
            FetchItem::Flags => "FLAGS",
            FetchItem::InternalDate => "INTERNALDATE",
            FetchItem::Rfc822 => "RFC822",
            FetchItem::Rfc822Header => "RFC822.HEADER",
            FetchItem::Rfc822Size => "RFC822.SIZE",
            FetchItem::Rfc822Text => "RFC822.TEXT",
            FetchItem::Uid => "UID",
            FetchItem::ModSeq => "MODSEQ",
            FetchItem::EmailId => "EMAILID",
            FetchItem::ThreadId => "THREADID",
            FetchItem::SaveDate => "SAVEDATE",
            FetchItem::Section { section, partial, peek } => {
                self.text(if *peek { "BODY.PEEK[" } else { "BODY[" });
                self.section(section);
                self.text("]");
                if let Some(Partial { first, count }) = partial {
                    self.text(&format!("<{first}.{count}>"));
                }
                return;
            }
        };
        self.text(name);
    }

    fn section(&mut self, section: &Section) {
        let numbers: Vec<String> = section.part.iter().map(ToString::to_string).collect();
        self.text(&numbers.join("."));
        let Some(text) = &section.text else { return };
        self.text(if numbers.is_empty() { "" } else { "." });
        let (name, fields) = match text {
            SectionText::Header => ("HEADER", None),
            SectionText::Text => ("TEXT", None),
            SectionText::Mime => ("MIME", None),
            SectionText::HeaderFields(fields) => ("HEADER.FIELDS ", Some(fields)),
            SectionText::HeaderFieldsNot(fields) => ("HEADER.FIELDS.NOT ", Some(fields)),
        };
        self.text(name);
        if let Some(fields) = fields {
            self.list(fields, |this, field| this.astring(field.as_bytes()));
        }
    }

    fn search(&mut self, search: &Search) {
        self.uid(search.numbering);
        self.text("SEARCH ");
        self.search_returns(search.returns);
        self.text("CHARSET UTF-8 ");
        self.key(&search.key);
    }

    fn search_returns(&mut self, returns: Option<SearchReturn>) {
        let Some(returns) = returns else { return };
        let SearchReturn { min, max, all, count, save, relevancy, partial } = returns;
        let page = partial.map(|range| format!("PARTIAL {range}"));
        let mut words: Vec<&str> = Vec::new();
        words.extend(save.then_some("SAVE"));
        words.extend(relevancy.then_some("RELEVANCY"));
        words.extend(min.then_some("MIN"));
        words.extend(max.then_some("MAX"));
        words.extend(all.then_some("ALL"));
        words.extend(page.as_deref());
        words.extend(count.then_some("COUNT"));
        self.text(&format!("RETURN ({}) ", words.join(" ")));
    }

    fn sort(&mut self, sort: &Sort) {
        self.uid(sort.search.numbering);
        self.text("SORT ");
        self.search_returns(sort.search.returns);
        self.list(&sort.criteria, |this, SortCriterion { key, reverse }| {
            this.text(if *reverse { "REVERSE " } else { "" });
            this.text(match key {
                SortKey::Arrival => "ARRIVAL",
                SortKey::Cc => "CC",
                SortKey::Date => "DATE",
                SortKey::From => "FROM",
                SortKey::Size => "SIZE",
                SortKey::Subject => "SUBJECT",
                SortKey::To => "TO",
                SortKey::DisplayFrom => "DISPLAYFROM",
                SortKey::DisplayTo => "DISPLAYTO",
                SortKey::Relevancy => "RELEVANCY",
            });
        });
        self.text(" UTF-8 ");
        self.key(&sort.search.key);
    }

    fn thread(&mut self, thread: &Thread) {
        self.uid(thread.numbering);
        self.text(match thread.algorithm {
            ThreadAlgorithm::OrderedSubject => "THREAD ORDEREDSUBJECT UTF-8 ",
            ThreadAlgorithm::References => "THREAD REFERENCES UTF-8 ",
        });
        self.key(&thread.key);
    }

    fn key(&mut self, key: &SearchKey) {
        match key {
            SearchKey::All => self.text("ALL"),
            SearchKey::Recent => self.text("RECENT"),
            SearchKey::Saved => self.text("$"),
            SearchKey::SaveDateSupported => self.text("SAVEDATESUPPORTED"),
            SearchKey::And(keys) => self.list(keys, Self::key),
            SearchKey::Or(left, right) => {
                self.text("OR ");
                self.key(left);
                self.text(" ");
                self.key(right);
            }
            SearchKey::Not(key) => {
                self.text("NOT ");
                self.key(key);
            }
            SearchKey::Fuzzy(key) => {
                self.text("FUZZY ");
                self.key(key);
            }
            SearchKey::Sequence(set) => self.text(&set.to_string()),
            SearchKey::Uid(set) => self.text(&format!("UID {set}")),
            SearchKey::Flags(flags) => self.flag_key(*flags),
            SearchKey::Keyword(keyword) => self.text(&format!("KEYWORD {keyword}")),
            SearchKey::Header { name, value } => {
                self.text_key("HEADER", name);
                self.text(" ");
                self.astring(value.as_bytes());
            }
            SearchKey::Bcc(text) => self.text_key("BCC", text),
            SearchKey::Cc(text) => self.text_key("CC", text),
            SearchKey::From(text) => self.text_key("FROM", text),
            SearchKey::To(text) => self.text_key("TO", text),
            SearchKey::Subject(text) => self.text_key("SUBJECT", text),
            SearchKey::Body(text) => self.text_key("BODY", text),
            SearchKey::Text(text) => self.text_key("TEXT", text),
            SearchKey::EmailId(text) => self.text_key("EMAILID", text),
            SearchKey::ThreadId(text) => self.text_key("THREADID", text),
            SearchKey::Before(day) => self.day_key("BEFORE", *day),
            SearchKey::On(day) => self.day_key("ON", *day),
            SearchKey::Since(day) => self.day_key("SINCE", *day),
            SearchKey::SentBefore(day) => self.day_key("SENTBEFORE", *day),
            SearchKey::SentOn(day) => self.day_key("SENTON", *day),
            SearchKey::SentSince(day) => self.day_key("SENTSINCE", *day),
            SearchKey::SavedBefore(day) => self.day_key("SAVEDBEFORE", *day),
            SearchKey::SavedOn(day) => self.day_key("SAVEDON", *day),
            SearchKey::SavedSince(day) => self.day_key("SAVEDSINCE", *day),
            SearchKey::Older(seconds) => self.text(&format!("OLDER {seconds}")),
            SearchKey::Younger(seconds) => self.text(&format!("YOUNGER {seconds}")),
            SearchKey::Larger(size) => self.text(&format!("LARGER {size}")),
            SearchKey::Smaller(size) => self.text(&format!("SMALLER {size}")),
            SearchKey::ModSeq(value) if value.0.is_multiple_of(2) => {
                self.text(&format!("MODSEQ {value}"))
            }
            SearchKey::ModSeq(value) => {
                self.text(&format!("MODSEQ \"/flags/\\\\draft\" all {value}"));
            }
        }
    }

    fn flag_key(&mut self, flags: Flags) {
        self.text(match flags {
            Flags::SEEN => "SEEN",
            Flags::ANSWERED => "ANSWERED",
            Flags::FLAGGED => "FLAGGED",
            Flags::DELETED => "DELETED",
            _ => "DRAFT",
        });
    }

    fn text_key(&mut self, name: &str, text: &str) {
        self.text(&format!("{name} "));
        self.astring(text.as_bytes());
    }

    fn day_key(&mut self, name: &str, day: Day) {
        let date = date(i64::from(day.0) * 86_400).strftime("%-d-%b-%Y").to_string();
        match self.style {
            Style::Plain => self.text(&format!("{name} {date}")),
            _ => self.text(&format!("{name} \"{date}\"")),
        }
    }
}

fn date(seconds: i64) -> civil::DateTime {
    civil::datetime(1970, 1, 1, 0, 0, 0, 0) + jiff::SignedDuration::from_secs(seconds)
}

/// With a zone, so that it is taken into account.
fn date_time(time: Timestamp) -> String {
    let local = date(time.seconds() + 5400);
    local.strftime("\"%e-%b-%Y %H:%M:%S +0130\"").to_string()
}
