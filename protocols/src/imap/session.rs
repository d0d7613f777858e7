//! An IMAP session: frames in, commands run in order, responses out.

use std::sync::Arc;

use redoubt_log::id::AccountId;
use redoubt_log::record::Actor;
use redoubt_search::index::Index;
use redoubt_store::changes::Watch;
use redoubt_store::mailstore::{Access, Login, MailboxPath, Mailstore, StoreError};
use redoubt_store::uids::UidSet;
use redoubt_store::view::View;
use tokio::time::{Instant, timeout};

use super::command::{self, Rooms};
use super::encode::code;
use super::frame::{Frame, Framer, Refused};
use super::limits::Limits;
use super::parse::{self, CommandError, ErrorKind, Mode};
use super::reply::{End, Reply, Text, Trouble};
use super::selected::Selected;
use super::types::{Command, MailboxName, Numbering, Tag, TaggedCommand};
use crate::limits::{PlaintextPolicy, Refusal};
use crate::server::Protocol;
use crate::stream::{Connection, StreamError};

/// Octets read at one time while a session waits for a command.
const READ_IDLE: usize = 2 * 1024;
/// Octets read at one time within a command.
const READ_BUSY: usize = 32 * 1024;

/// What an administrator says of IMAP.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where a login name without `@` is looked up.
    pub default_domain: String,
    /// Whether passwords may cross unencrypted connections.
    pub plaintext: PlaintextPolicy,
    /// Octets of an appended message.
    pub max_message: u64,
    /// Whether users see their mailboxes as they were, under `#history`.
    pub history: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            default_domain: "example.org".into(),
            plaintext: PlaintextPolicy::default(),
            max_message: 100 << 20,
            history: true,
        }
    }
}

/// The IMAP service: what all its sessions share.
#[derive(Debug)]
pub struct Imap {
    pub(super) store: Mailstore,
    pub(super) config: Config,
    pub(super) rooms: Rooms,
    pub(super) index: Option<Index>,
}

impl Imap {
    /// A service over a mailstore.
    pub fn new(store: Mailstore, config: Config) -> Arc<Self> {
        Self::with_index(store, config, None)
    }

    /// The same, where an index makes searches fast.
    pub fn with_index(store: Mailstore, config: Config, index: Option<Index>) -> Arc<Self> {
        Arc::new(Self { store, config, rooms: Rooms::default(), index })
    }
}

impl Protocol for Imap {
    async fn serve(self: Arc<Self>, connection: Connection) {
        Box::pin(Session::new(self, connection).run()).await;
    }

    fn refuse(&self, refusal: Refusal) -> String {
        format!("* BYE [UNAVAILABLE] {}\r\n", Text(&refusal.to_string()))
    }
}

/// Who is logged in.
#[derive(Debug)]
pub(super) struct User {
    pub(super) account: AccountId,
    pub(super) actor: Actor,
    pub(super) watch: Watch,
    pub(super) access: Access,
}

/// One client's session. A mailbox is selected only while a user is logged in.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) imap: Arc<Imap>,
    pub(super) conn: Connection,
    pub(super) framer: Framer,
    pub(super) user: Option<User>,
    pub(super) selected: Option<Selected>,
    /// MODSEQs are told (RFC 7162 section 3.1).
    pub(super) condstore: bool,
    /// VANISHED in the place of EXPUNGE (RFC 7162 section 3.2).
    pub(super) qresync: bool,
    pub(super) auth_failures: u32,
    /// The store could not be read when it was to be; it is to be tried again.
    dirty: bool,
    bad_commands: u32,
    login_deadline: Instant,
}

impl Session {
    fn new(imap: Arc<Imap>, conn: Connection) -> Self {
        let login_deadline = Instant::now() + conn.limits().login_timeout;
        Self {
            imap,
            conn,
            framer: Framer::new(Limits::before_login()),
            user: None,
            selected: None,
            condstore: false,
            qresync: false,
            auth_failures: 0,
            dirty: false,
            bad_commands: 0,
            login_deadline,
        }
    }

    async fn run(mut self) {
        if self.imap.store.cut_off().is_now() {
            return self.finish(End::cut_off()).await;
        }
        let greeting = format!("OK [CAPABILITY {}] Redoubt is ready", self.capabilities());
        self.untagged(&greeting);
        let end = loop {
            if let Err(end) = self.step().await {
                break end;
            }
        };
        self.finish(end).await;
    }

    async fn step(&mut self) -> Result<(), End> {
        if self.conn.is_shutting_down() {
            return Err(End::Bye("The server is shutting down".into()));
        }
        self.check_login().await?;
        match self.framer.next(self.conn.input()) {
            // Boxed: a session that waits does not pay for the largest command's state.
            Some(frame) => Box::pin(self.take(frame)).await,
            None => self.wait().await,
        }
    }

    async fn finish(mut self, end: End) {
        match end {
            End::Gone(error) => return tracing::debug!(%error, "IMAP session ended"),
            End::Bye(text) => self.untagged(&format!("BYE {}", Text(&text))),
            End::Logout => {}
        }
        self.conn.close().await;
    }

    // ------------------------------------------------------------- in and out

    /// Waits for octets; sends first what was answered. The client may be shut out meanwhile.
    async fn wait(&mut self) -> Result<(), End> {
        self.conn.flush().await?;
        let within = self.conn.input().is_empty();
        if within {
            self.conn.shrink();
        }
        let shutdown = self.conn.shutdown_token();
        let mut alone = self.imap.store.cut_off();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Err(End::Bye("The server is shutting down".into())),
            () = alone.happens() => Err(End::cut_off()),
            read = self.read_some(within) => read,
        }
    }

    /// Reads octets, or learns that the login may have ended, and judges it.
    async fn read_some(&mut self, idle: bool) -> Result<(), End> {
        let limit = self.patience(idle);
        let size = if idle { READ_IDLE } else { READ_BUSY };
        let Self { conn, user, .. } = self;
        let ended = async {
            match user {
                Some(user) => user.access.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            read = timeout(limit, conn.fill(size)) => {
                read.map_err(|_| StreamError::TimedOut("send"))??;
                return Ok(());
            }
        }
        self.judge_login().await
    }

    /// Reads more of a command that has begun.
    ///
    /// # Errors
    /// The client is too slow or gone.
    pub(super) async fn more(&mut self) -> Result<(), End> {
        self.read_some(false).await
    }

    /// A line that is no command: a SASL response, DONE.
    ///
    /// # Errors
    /// It is too long, or the client is gone.
    pub(super) async fn line(&mut self) -> Result<bytes::Bytes, End> {
        loop {
            match self.framer.next_line(self.conn.input()) {
                Some(line) => return line.map_err(|error| End::Bye(error.to_string().into())),
                None => self.more().await?,
            }
        }
    }

    /// How long to wait: RFC 9051 section 5.4 for users, less for others.
    fn patience(&self, between_commands: bool) -> std::time::Duration {
        let limits = self.conn.limits();
        let limit = if between_commands { limits.idle_timeout } else { limits.receive_timeout };
        match self.user {
            Some(_) => limit,
            None => limit.min(self.login_deadline.saturating_duration_since(Instant::now())),
        }
    }

    /// The literal that was offered, or is being taken, is not wanted.
    pub(super) fn refuse_literal(&mut self) {
        self.framer.refuse_literal(self.conn.input());
    }

    /// Queues an untagged response.
    pub(super) fn untagged(&mut self, text: &str) {
        let out = self.conn.output();
        out.extend_from_slice(b"* ");
        out.extend_from_slice(text.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Asks for more of a command: `+ text`. Sent at once.
    pub(super) async fn continuation(&mut self, text: &str) -> Result<(), End> {
        self.conn.queue(format!("+ {text}\r\n").as_bytes());
        Ok(self.conn.flush().await?)
    }

    /// Queues a tagged response.
    pub(super) fn tagged(&mut self, tag: &Tag, reply: &Reply) {
        let out = self.conn.output();
        out.extend_from_slice(tag.as_str().as_bytes());
        out.extend_from_slice(b" ");
        reply.write(out);
    }

    // --------------------------------------------------------------- commands

    async fn take(&mut self, frame: Frame) -> Result<(), End> {
        match frame {
            Frame::Command(octets) => self.command(&octets).await?,
            Frame::Continue { .. } => self.continuation("OK").await?,
            Frame::Append { head, literal } => command::append::run(self, &head, literal).await?,
            // Only an APPEND that was taken has a rest, and it takes it itself.
            Frame::AppendRest { .. } => return Err(End::Bye("Out of step".into())),
            Frame::Refused(refused) => self.refuse(refused)?,
        }
        Ok(self.conn.relieve().await?)
    }

    async fn command(&mut self, octets: &[u8]) -> Result<(), End> {
        self.conn.stats().commands.add(1);
        match parse::command(octets, &self.mode()) {
            Ok(TaggedCommand { tag, command }) => {
                self.bad_commands = 0;
                self.execute(&tag, command).await
            }
            Err(error) => self.unreadable(error),
        }
    }

    pub(super) fn mode(&self) -> Mode {
        let limits = if self.user.is_some() { Limits::default() } else { Limits::before_login() };
        Mode { limits, utf8: false }
    }

    async fn execute(&mut self, tag: &Tag, command: Command) -> Result<(), End> {
        match command {
            Command::Logout => Err(command::logout::run(self, tag)),
            Command::StartTls => command::starttls::run(self, tag).await,
            // News begin with the next command: clients do not look for them among what SELECT
            // says of the mailbox.
            Command::Select(_) => {
                let answer = command::run(self, tag, command).await;
                self.answer(tag, answer)
            }
            command => {
                let may_expunge = may_expunge(&command);
                let answer = command::run(self, tag, command).await;
                self.complete(tag, answer, may_expunge).await
            }
        }
    }

    /// Tells what else happened, then the command's answer.
    pub(super) async fn complete(
        &mut self,
        tag: &Tag,
        answer: Result<Reply, Trouble>,
        may_expunge: bool,
    ) -> Result<(), End> {
        if let Err(Trouble::End(_)) = answer {
            return self.answer(tag, answer);
        }
        // What cannot be read now is told after a later command.
        if let Err(Trouble::End(end)) = self.sync_here(may_expunge).await {
            return Err(end);
        }
        self.answer(tag, answer)
    }

    fn answer(&mut self, tag: &Tag, answer: Result<Reply, Trouble>) -> Result<(), End> {
        let mut reply = match answer {
            Ok(reply) | Err(Trouble::Reply(reply)) => reply,
            Err(Trouble::End(end)) => return Err(end),
        };
        // Behind all that was told: before it, it would go back.
        if let Some(selected) = self.selected.as_ref().filter(|_| reply.highest && self.qresync) {
            reply = reply.code(code::highest_modseq(selected.highest_modseq()));
        }
        if reply.is_failure() {
            self.conn.stats().failures.add(1);
        }
        self.tagged(tag, &reply);
        Ok(())
    }

    /// A command that does not read: BAD, with its tag if it has one.
    pub(super) fn unreadable(&mut self, error: CommandError) -> Result<(), End> {
        let reply = match error.kind {
            ErrorKind::Charset { saves } => {
                if let Some(selected) = self.selected.as_mut().filter(|_| saves) {
                    selected.save(UidSet::default());
                }
                Reply::no(code::bad_charset(), "This charset is not known")
            }
            _ => Reply::bad(error.to_string()),
        };
        self.bad(error.tag, &reply)
    }

    fn refuse(&mut self, refused: Refused) -> Result<(), End> {
        self.bad(refused.tag, &Reply::bad(refused.error.to_string()))?;
        match refused.close {
            true => Err(End::Bye("The command cannot be followed".into())),
            false => Ok(()),
        }
    }

    fn bad(&mut self, tag: Option<Tag>, reply: &Reply) -> Result<(), End> {
        match tag {
            Some(tag) => self.tagged(&tag, reply),
            None => {
                self.conn.queue(b"* ");
                reply.write(self.conn.output());
            }
        }
        self.bad_commands += 1;
        match self.bad_commands >= self.conn.limits().bad_commands {
            true => Err(End::Bye("Too many commands that do not read".into())),
            false => Ok(()),
        }
    }

    // ------------------------------------------------------------------ users

    /// The user who is logged in.
    ///
    /// # Errors
    /// BAD in the wrong state.
    pub(super) fn user(&self) -> Result<&User, Reply> {
        self.user.as_ref().ok_or_else(|| Reply::bad("Log in first"))
    }

    /// The selected mailbox.
    ///
    /// # Errors
    /// BAD in the wrong state.
    pub(super) fn selected(&self) -> Result<&Selected, Reply> {
        self.selected.as_ref().ok_or_else(|| Reply::bad("Select a mailbox first"))
    }

    /// The selected mailbox, to be changed.
    ///
    /// # Errors
    /// BAD in the wrong state, NO for one that was opened read-only.
    pub(super) fn writable(&self) -> Result<&Selected, Reply> {
        match self.selected()? {
            selected if selected.past.is_some() => Err(Reply::past()),
            selected if selected.read_only => Err(Reply::read_only()),
            selected => Ok(selected),
        }
    }

    /// From now on the session is this user's.
    pub(super) fn log_in(&mut self, login: Login) {
        let account = login.account.id;
        let actor = Actor::account(account, self.conn.peer().ip());
        let watch = self.imap.store.watch(account);
        self.user = Some(User { account, actor, watch, access: login.access });
        self.framer.set_limits(Limits::default());
    }

    /// Ends the session once its login does not hold any more.
    ///
    /// # Errors
    /// BYE then (RFC 9051 section 7.1.5), and where that cannot be read.
    pub(super) async fn check_login(&mut self) -> Result<(), End> {
        let Some(user) = self.user.as_mut().filter(|user| user.access.has_changed()) else {
            return Ok(());
        };
        user.access.take();
        self.judge_login().await
    }

    /// The same for who only looks: the next [`Session::check_login`] looks again.
    pub(super) async fn login_holds(&self) -> Result<(), End> {
        match self.user.as_ref().is_some_and(|user| user.access.has_changed()) {
            true => self.judge_login().await,
            false => Ok(()),
        }
    }

    /// By what is applied here: as much as it was woken by.
    pub(super) async fn judge_login(&self) -> Result<(), End> {
        let Some(user) = &self.user else { return Ok(()) };
        let judge = user.access.judge();
        let judged = match self.imap.store.local_view() {
            Ok(view) => blocking(move || judge(&view)).await,
            Err(error) => Err(error.into()),
        };
        match judged {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(why.into()),
            Err(Trouble::End(end)) => Err(end),
            Err(Trouble::Reply(reply)) => {
                Err(End::Bye(format!("[UNAVAILABLE] {}", reply.text).into()))
            }
        }
    }

    /// Whether the account changed since the last call.
    pub(super) async fn woken(&mut self) -> bool {
        let Some(user) = &mut self.user else { return false };
        let changed = tokio::select! {
            biased;
            () = user.watch.changed() => true,
            () = std::future::ready(()) => false,
        };
        std::mem::take(&mut self.dirty) || changed
    }

    /// The next telling looks, whether the watch says so or not.
    pub(super) fn mark_dirty(&mut self) {
        self.dirty = true;
    }

    /// A view was read that is younger than the last wake that was taken. The watch is left
    /// alone: it may have been woken again since.
    pub(super) fn mark_clean(&mut self) {
        self.dirty = false;
    }

    // ---------------------------------------------------------------- reading

    /// Runs a job over a view of now on the blocking pool.
    pub(super) async fn read<T, F>(&self, job: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    {
        let view = self.view().await?;
        blocking(move || job(&view)).await
    }

    /// A view of now, for a login that holds in it.
    pub(super) async fn view(&self) -> Result<View, Trouble> {
        let view = self.imap.store.view().await?;
        self.login_holds().await?;
        Ok(view)
    }

    /// The same over what is applied here: for what goes with an answer that was read before.
    pub(super) async fn read_here<T, F>(&self, job: F) -> Result<T, Trouble>
    where
        T: Send + 'static,
        F: FnOnce(&View) -> Result<T, StoreError> + Send + 'static,
    {
        let view = self.imap.store.local_view()?;
        let past = self.selected.as_ref().and_then(|selected| selected.past);
        let view = past.map_or_else(|| view.clone(), |index| view.at(index));
        blocking(move || job(&view)).await
    }
}

/// A name as the store has it: NFC, each level checked.
///
/// # Errors
/// NO for what no mailbox can be called.
pub(super) fn stored_name(mailbox: &MailboxName) -> Result<String, Reply> {
    Ok(MailboxPath::parse(mailbox.as_str())?.to_string())
}

/// Runs what blocks where it may.
pub(super) async fn blocking<T, F>(job: F) -> Result<T, Trouble>
where
    T: Send + 'static,
    F: FnOnce() -> Result<T, StoreError> + Send + 'static,
{
    let done = tokio::task::spawn_blocking(job).await;
    let failed = |_| Err(StoreError::Stopped("a reading task failed".into()));
    Ok(done.unwrap_or_else(failed)?)
}

/// Sequence numbers must not change while a command that uses them is answered
/// (RFC 9051 section 7.5.1).
fn may_expunge(command: &Command) -> bool {
    let numbering = match command {
        Command::Fetch(fetch) => fetch.numbering,
        Command::Store(store) => store.numbering,
        Command::Search(search) => search.numbering,
        Command::Sort(sort) => sort.search.numbering,
        Command::Thread(thread) => thread.numbering,
        _ => Numbering::Uid,
    };
    numbering == Numbering::Uid
}
