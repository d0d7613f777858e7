//! A node in this process on a disk that is told when it is full.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use redoubt_log::disk::{Disk, DiskFile, RealDisk, Space};
use redoubt_log::id::OperationId;
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address, Change, DomainAdd, DomainSettings,
};
use redoubt_store::mailstore::Mailstore;
use redoubt_tests::cluster::said;
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::lmtp::Answer;
use redoubt_tests::messages::{message, token, without_trace};
use redoubt_tests::process::binary;
use redoubt_tools::config::{Addresses, Config, Extract, Listen};
use redoubt_tools::server::{self, Running};
use tokio::runtime::Runtime;

/// Segments so small that a few deliveries fill one.
const SEGMENT: u64 = 64 * 1024;

/// 4xx with an enhanced code that says the same.
pub(crate) fn is_deferred(answer: &Answer) -> bool {
    (400..500).contains(&answer.code) && answer.text.starts_with("4.")
}

#[derive(Debug, Default)]
struct State {
    /// What the system says is free; plenty without.
    free: Option<u64>,
    /// Writes and allocations in paths with this find no room.
    full: Option<&'static str>,
    /// No file can be made in paths with this.
    forbidden: Option<&'static str>,
    /// Writes and syncs in paths with this do not come back.
    held: Option<&'static str>,
}

/// The real disk, with room as a test wishes. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct FullDisk(Arc<(Mutex<State>, Condvar)>);

/// Until it is dropped, nothing that is held comes back.
pub(crate) struct Held(FullDisk);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.state().held = None;
        self.0.0.1.notify_all();
    }
}

#[derive(Debug)]
struct FullFile {
    disk: FullDisk,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
}

fn matches(part: Option<&'static str>, path: &Path) -> bool {
    part.is_some_and(|part| path.to_string_lossy().contains(part))
}

impl FullDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// Writes and syncs in paths with this wait, as on a disk that hangs.
    pub(crate) fn hold(&self, part: &'static str) -> Held {
        self.state().held = Some(part);
        Held(self.clone())
    }

    fn passes(&self, path: &Path) {
        let state = self.state();
        drop(self.0.1.wait_while(state, |state| matches(state.held, path)).unwrap());
    }

    pub(crate) fn set_free(&self, bytes: u64) {
        self.state().free = Some(bytes);
    }

    pub(crate) fn fill(&self, part: Option<&'static str>) {
        self.state().full = part;
    }

    pub(crate) fn forbid_new(&self, part: Option<&'static str>) {
        self.state().forbidden = part;
    }

    fn has_room(&self, path: &Path) -> io::Result<()> {
        match matches(self.state().full, path) {
            true => Err(ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn wrap(&self, path: &Path, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(FullFile { disk: self.clone(), path: path.to_owned(), file })
    }
}

impl Disk for FullDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        if matches(self.state().forbidden, path) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.has_room(path)?;
        Ok(self.wrap(path, RealDisk.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.wrap(path, RealDisk.open(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }

    fn space(&self, _dir: &Path) -> io::Result<Space> {
        let free = self.state().free.unwrap_or(500 << 30);
        Ok(Space { free, total: 1 << 40 })
    }
}

impl DiskFile for FullFile {
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    /// A write that finds no room has written a part.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.passes(&self.path);
        let room = self.disk.has_room(&self.path);
        let written = if room.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.file.write_all_at(written, offset)?;
        room
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.has_room(&self.path)?;
        self.file.allocate(len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.passes(&self.path);
        self.file.sync_data()
    }
}

/// A node with `alice@example.org`.
pub(crate) struct Node {
    pub(crate) disk: FullDisk,
    runtime: Runtime,
    running: Option<Running>,
    config: Config,
    _folder: tempfile::TempDir,
}

impl Node {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let free = || Addresses::One("127.0.0.1:0".into());
        let off = || Addresses::One("off".into());
        let listen = Listen {
            lmtp: free(),
            imap: free(),
            imaps: off(),
            admin_https: off(),
            socketmap: off(),
            peer: off(),
            ..Listen::default()
        };
        let data = folder.path().join("data");
        let config =
            Config { data, hostname: "mail.example.org".into(), listen, ..Config::default() };
        // Workers are the server's own program, and this is not it.
        let extract = Extract { workers: 0, ..Extract::default() };
        let config = Config { extract, ..config };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let mut node = Self {
            disk: FullDisk::default(),
            runtime: runtime.unwrap(),
            running: None,
            config,
            _folder: folder,
        };
        node.open();
        node.runtime.block_on(prepare(node.running().mailstore()));
        node
    }

    fn open(&mut self) {
        server::make_data_directory(&self.config.data).unwrap();
        let mut options = server::options(&self.config);
        options.disk = Arc::new(self.disk.clone());
        options.log.segment_bytes = SEGMENT;
        let running = self.runtime.block_on(Running::start(self.config.clone(), options));
        self.running = Some(running.unwrap());
    }

    fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub(crate) fn restart(&mut self) {
        let running = self.running.take().unwrap();
        self.runtime.block_on(running.shutdown());
        self.open();
    }

    pub(crate) fn lmtp(&self) -> SocketAddr {
        self.running().tcp("lmtp").unwrap()
    }

    pub(crate) fn imap(&self) -> SocketAddr {
        self.running().tcp("imap").unwrap()
    }

    /// Runs a verb against it: its exit code, and all that it said.
    pub(crate) fn said(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(binary());
        command.arg("--data").arg(&self.config.data).args(arguments);
        command.env("XDG_STATE_HOME", self.config.data.with_extension("state"));
        said(&command.output().unwrap())
    }

    /// Why the store has stopped; waits for that.
    pub(crate) fn stopped(&self) -> String {
        let stopped = self.running().mailstore().stopped();
        let limit = Duration::from_secs(30);
        self.runtime.block_on(async { tokio::time::timeout(limit, stopped).await }).unwrap()
    }

    /// Every invariant, and every blob that is named.
    pub(crate) fn check(&self) {
        let found = self.runtime.block_on(self.running().mailstore().check(10));
        assert!(found.as_ref().is_ok_and(Vec::is_empty), "{found:?}");
    }

    pub(crate) fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let began = Instant::now();
        while !holds(self) {
            assert!(began.elapsed() < Duration::from_secs(30), "never: {what}");
        }
    }

    /// The tokens of a mailbox's messages, in order; their bytes must be as sent.
    pub(crate) fn tokens(&self, mailbox: &str) -> Vec<String> {
        let mut client = Imap::login(self.imap(), "alice@example.org").unwrap();
        client.ok(&format!("EXAMINE {mailbox}")).unwrap();
        let reply = client.ok("UID FETCH 1:* (BODY.PEEK[])").unwrap();
        let one = |(_, items): (u32, Vec<_>)| {
            let body = item(&items, "BODY[]").unwrap().octets();
            let token = token(body).unwrap();
            assert!(without_trace(body) == message(&token, 3000), "{token} has other bytes");
            token
        };
        reply.fetches().into_iter().map(one).collect()
    }
}

async fn prepare(store: &Mailstore) {
    let domain = DomainAdd { domain: "example.org".into(), settings: DomainSettings::default() };
    submit(store, Change::DomainAdd(domain)).await;
    let account = AccountAdd {
        address: Address { local: "alice".into(), domain: "example.org".into() },
        settings: AccountSettings::default(),
        password: Some(store.hash_password(b"secret").await.unwrap()),
    };
    submit(store, Change::AccountAdd(account)).await;
}

async fn submit(store: &Mailstore, change: Change) {
    let done = store.submit(&Actor::SYSTEM, OperationId::random(), change).await.unwrap();
    done.result.unwrap();
}
