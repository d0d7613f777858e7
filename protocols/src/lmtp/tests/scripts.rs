//! What RFC 2033 and its extensions ask for.

use redoubt_log::id::AccountId;
use redoubt_log::record::Rejection;
use redoubt_store::mailstore::{StoreError, WriteError};

use super::*;

/// What a client says after its XCLIENT: a greeting of its own, and a message.
const BEGUN_ANEW: &str = "> LHLO proxy.example.org
    250-mail.example.org
    250-PIPELINING
    250-SIZE 100000
    250-8BITMIME
    250-SMTPUTF8
    250 ENHANCEDSTATUSCODES
    > MAIL FROM:<a@b>
    250 2.1.0 …
    > RCPT TO:<alice@example.org>
    250 2.1.5 …
    > DATA
    354 …
    > x
    > .
    250 2.0.0 …";

async fn after_lhlo(text: &str) -> Fake {
    script(&format!("{LHLO}{text}")).await
}

#[tokio::test]
async fn a_message_for_two() {
    let fake = after_lhlo(
        "> MAIL FROM:<sender@example.net> SIZE=20 BODY=8BITMIME
        250 2.1.0 sender ok
        > RCPT TO:<alice@example.org>
        250 2.1.5 <alice@example.org> recipient ok
        > RCPT TO:<nobody@example.org>
        550 5.1.1 no such user
        > RCPT TO:<bob+lists@example.org>
        250 2.1.5 <bob+lists@example.org> recipient ok
        > DATA
        354 go on, end with <CRLF>.<CRLF>
        > Subject: x
        >
        > ..dot
        > .
        250 2.0.0 <alice@example.org> delivered
        250 2.0.0 <bob+lists@example.org> delivered
        > QUIT
        221 2.0.0 bye",
    );
    let mails = fake.await.mails();
    assert_eq!(mails[0].content, b"Subject: x\r\n\r\n.dot\r\n");
    let envelope = &mails[0].envelope;
    assert_eq!(
        (envelope.sender.as_str(), envelope.client_name.as_str()),
        ("sender@example.net", "mx.example.net")
    );
    assert_eq!(envelope.parameters, ["SIZE=20", "BODY=8BITMIME"]);
    let recipients: Vec<_> =
        mails[0].recipients.iter().map(|r| (r.account, r.detail.as_deref())).collect();
    assert_eq!(recipients, [(AccountId(1), None), (AccountId(2), Some("lists"))]);
    let trace = String::from_utf8(mails[0].trace.to_vec()).unwrap();
    assert!(
        trace.starts_with("Return-Path: <sender@example.net>\r\nReceived: from mx.example.net\r\n"),
        "{trace}"
    );
    assert!(!trace.contains("alice"), "nobody learns of the others: {trace}");
}

#[tokio::test]
async fn recipients_get_the_truth_each() {
    let client = connect();
    client.fake.reject(1, Rejection::OverQuota { used: 2, limit: 1 });
    client.fake.reject(5, Rejection::NoSuchAccount);
    let text = format!(
        "{LHLO}> MAIL FROM:<>
        250 2.1.0 sender ok
        > RCPT TO:<al@example.org>
        250 2.1.5 …
        > RCPT TO:<bob@example.org>
        250 2.1.5 …
        > RCPT TO:<locked@example.org>
        250 2.1.5 …
        > DATA
        354 …
        > x
        > .
        552 5.2.2 <al@example.org> the mailbox is over quota
        250 2.0.0 <bob@example.org> delivered
        550 5.1.1 <locked@example.org> no such user
        > MAIL FROM:<a@b>
        250 2.1.0 …"
    );
    script_of(client, &text).await;
}

#[tokio::test]
async fn what_the_store_says_reaches_every_recipient() {
    for (error, expected) in [
        (WriteError::DiskFull { free: 1, reserve: 2 }, "452 4.3.1 "),
        (WriteError::Unavailable("x".into()), "451 4.3.2 "),
        (WriteError::Unknown("x".into()), "451 4.3.0 "),
        (WriteError::Store(StoreError::Unavailable("x".into())), "451 4.3.2 "),
        (WriteError::Store(StoreError::Stopped("secret".into())), "451 4.3.0 "),
        (WriteError::TooLarge { size: 2, limit: 1 }, "552 5.3.4 "),
        (WriteError::Invalid("x".into()), "554 5.6.0 "),
    ] {
        let client = connect();
        client.fake.fail(error);
        let text = format!(
            "{LHLO}> MAIL FROM:<a@b>
            250 2.1.0 …
            > RCPT TO:<alice@example.org>
            250 2.1.5 …
            > RCPT TO:<bob@example.org>
            250 2.1.5 …
            > DATA
            354 …
            > x
            > .
            {expected}<alice@example.org> …
            {expected}<bob@example.org> …"
        );
        script_of(client, &text).await;
    }
}

#[tokio::test]
async fn recipients_that_are_refused() {
    after_lhlo(
        "> RCPT TO:<alice@example.org>
        503 5.5.1 MAIL first
        > MAIL FROM:<a@b> SIZE=200
        250 2.1.0 …
        > RCPT TO:<alice@elsewhere.example>
        550 5.1.2 …
        > RCPT TO:<full@example.org>
        552 5.2.2 …
        > RCPT TO:<closed@example.org>
        550 5.2.1 …
        > RCPT TO:<@example.org>
        553 5.1.3 …
        > RCPT TO:<>
        501 5.1.3 …
        > RCPT TO:alice@example.org
        501 5.5.4 …
        > RCPT TO:<alice@example.org> NOTIFY=NEVER
        555 5.5.4 …
        > RCPT TO:<älice@example.org>
        553 5.6.7 …
        > DATA
        503 5.5.1 no valid recipients",
    )
    .await;
}

#[tokio::test]
async fn senders_that_are_refused() {
    script(
        "> MAIL FROM:<a@b>
        503 5.5.1 LHLO first
        > EHLO x
        500 5.5.1 no such command
        > LHLO
        501 5.5.4 …
        > LHLO x(y)
        501 5.5.4 …",
    )
    .await;
    after_lhlo(
        "> MAIL FROM:<a@b> SIZE=100001
        552 5.3.4 …
        > MAIL FROM:<a@b> SIZE=x
        501 5.5.4 …
        > MAIL FROM:<a@b> BODY=BINARYMIME
        501 5.5.4 …
        > MAIL FROM:<a@b> XFOO
        555 5.5.4 …
        > MAIL FROM:<ä@b>
        553 5.6.7 …
        > MAIL FROM:<ä@b> SMTPUTF8
        250 2.1.0 …
        > MAIL FROM:<a@b>
        503 5.5.1 …
        > RSET
        250 2.0.0 …
        > DATA
        503 5.5.1 …
        > VRFY alice
        252 2.5.0 …
        > NOOP x
        250 2.0.0 …
        > HELP
        214 2.0.0 …
        > STARTTLS
        503 5.5.1 …",
    )
    .await;
}

#[tokio::test]
async fn limits_are_told() {
    let four = "> RCPT TO:<alice@example.org>\n250 2.1.5 …\n".repeat(4);
    after_lhlo(&format!(
        "> MAIL FROM:<a@b>
        250 2.1.0 …
        {four}> RCPT TO:<bob@example.org>
        452 4.5.3 …
        > DATA
        354 …
        > x
        > .
        250 2.0.0 …
        250 2.0.0 …
        250 2.0.0 …
        250 2.0.0 …"
    ))
    .await;
    let long = "x".repeat(5_000);
    script(&format!("> NOOP {long}\n500 5.5.2 the line is too long, closing")).await;
    let limits = Limits { bad_commands: 3, ..Limits::default() };
    let client = connect_with(options(), limits, CancellationToken::new());
    script_of(client, "> A\n500 5.5.1 …\n> B\n500 5.5.1 …\n> C\n421 4.7.0 …\n> D").await;
    let client = connect_with(
        LmtpOptions { max_messages: 0, ..options() },
        Limits::default(),
        CancellationToken::new(),
    );
    let one = "> MAIL FROM:<a@b>\n250 …\n> RCPT TO:<alice@example.org>\n250 …\n> DATA\n421 4.7.0 …";
    script_of(client, &format!("{LHLO}{one}")).await;
}

const ONE: &str = "MAIL FROM:<a@b>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n";

/// The replies to data sent behind [`ONE`], and what was delivered.
async fn data(client: Client, data: &str) -> (String, Vec<fake::Mail>) {
    let (said, fake) = client.talk(&format!("LHLO x\r\n{ONE}{data}")).await;
    let (_, said) = said.split_once("354 go on, end with <CRLF>.<CRLF>\r\n").unwrap();
    (said.to_owned(), fake.mails())
}

#[tokio::test]
async fn too_much_data_is_swallowed_and_refused() {
    let large = format!("{}\r\n.\r\nNOOP\r\n", "x".repeat(200_000));
    let (said, mails) = data(connect(), &large).await;
    assert_eq!(
        said,
        "552 5.3.4 <alice@example.org> the message is too large\r\n250 2.0.0 nothing done\r\n"
    );
    assert!(mails.is_empty());
    let client = connect();
    client.fake.full_after(10);
    let (said, mails) = data(client, &large).await;
    assert!(said.starts_with("452 4.3.1 ") && mails.is_empty(), "{said}");
}

#[tokio::test]
async fn nothing_is_smuggled() {
    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\n\n.\r\n\r\n"] {
        let smuggled =
            format!("x{end}MAIL FROM:<evil@b>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\ny\r\n.\r\n");
        let (said, mails) = data(connect(), &smuggled).await;
        assert_eq!(said.lines().count(), 1, "{end:?}: {said}");
        assert!(said.starts_with("554 5.6.0 ") && mails.is_empty(), "{end:?}: {said}");
        let keep = LmtpOptions { bare_newlines: BareNewlines::Keep, ..options() };
        let client = connect_with(keep, Limits::default(), CancellationToken::new());
        let (said, mails) = data(client, &smuggled).await;
        assert!(said.starts_with("250 2.0.0 ") && mails.len() == 1, "{end:?}: {said}");
        assert!(mails[0].content.ends_with(b"y\r\n"), "{end:?}");
    }
    for commands in ["NOOP\nNOOP\r\n", "NOOP\rNOOP\r\n"] {
        let (said, _) = connect().talk(commands).await;
        assert_eq!(said, "500 5.5.2 lines end with CRLF, closing\r\n");
    }
    let (said, _) = connect().talk("LHLO x\r\nMAIL FROM:<a\u{b}X-Evil: y@b>\r\n").await;
    assert!(said.ends_with("501 5.1.3 this is no address\r\n"), "{said}");
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_has_sent_nothing() {
    for cut in ["x\r\n", "x\r\n.", "x\r\n.\r"] {
        let (said, mails) = data(connect(), cut).await;
        assert!(said.is_empty() && mails.is_empty(), "{cut:?}: {said}");
    }
    // Its sending half is closed behind the end: it still hears what came of it.
    let (said, mails) = data(connect(), "x\r\n.\r\n").await;
    assert!(said.starts_with("250 2.0.0 ") && mails.len() == 1);
}

#[tokio::test]
async fn a_domain_may_defer_what_is_over_quota() {
    let client = connect();
    client.fake.reject(2, Rejection::OverQuota { used: 2, limit: 1 });
    let text = "> MAIL FROM:<a@b>
        250 …
        > RCPT TO:<x@catch.example>
        250 …
        > RCPT TO:<bob@example.org>
        250 …
        > DATA
        354 …
        > .
        452 4.2.2 <x@catch.example> …
        552 5.2.2 <bob@example.org> …";
    script_of(client, &format!("{LHLO}{text}")).await;
}

#[tokio::test]
async fn a_lookup_that_fails_is_tried_again_later() {
    let client = connect();
    client.fake.fail_lookups();
    let text = "> MAIL FROM:<a@b>\n250 …\n> RCPT TO:<alice@example.org>\n451 4.3.0 …";
    script_of(client, &format!("{LHLO}{text}")).await;
}

#[tokio::test]
async fn slow_clients_are_closed() {
    let short = Duration::from_millis(30);
    let limits = Limits { receive_timeout: short, ..Limits::default() };
    let options = LmtpOptions { command_timeout: short, ..options() };
    let begun = format!("LHLO x\r\n{ONE}x");
    for sent in ["", "NOO", &begun] {
        let mut client = connect_with(options.clone(), limits.clone(), CancellationToken::new());
        client.socket.write_all(sent.as_bytes()).await.unwrap();
        let mut said = String::new();
        client.socket.read_to_string(&mut said).await.unwrap();
        assert!(said.ends_with("421 4.4.2 too slow, closing\r\n"), "{sent}: {said}");
        client.session.await.unwrap();
        assert!(client.fake.mails().is_empty());
    }
}

#[tokio::test]
async fn a_dripping_client_has_an_end() {
    let options = LmtpOptions { message_timeout: Duration::from_millis(100), ..options() };
    let mut client = connect_with(options, Limits::default(), CancellationToken::new());
    client.socket.write_all(format!("LHLO x\r\n{ONE}").as_bytes()).await.unwrap();
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while client.socket.write_all(b"x").await.is_ok() {
        pace.tick().await;
    }
    client.session.await.unwrap();
    assert!(client.fake.mails().is_empty());
}

#[tokio::test]
async fn shutting_down_says_good_bye() {
    let shutdown = CancellationToken::new();
    let mut client = connect_with(options(), Limits::default(), shutdown.clone());
    let mut greeting = [0; 4];
    client.socket.read_exact(&mut greeting).await.unwrap();
    shutdown.cancel();
    let mut said = String::new();
    client.socket.read_to_string(&mut said).await.unwrap();
    assert!(said.ends_with("421 4.3.2 shutting down, connect again later\r\n"), "{said}");
}

#[tokio::test]
async fn a_trusted_proxy_speaks_for_its_client() {
    let said = format!(
        "> MAIL FROM:<a@b>
        250 2.1.0 …
        > XCLIENT ADDR=192.0.2.7
        503 5.5.1 a transaction is under way
        > RSET
        250 2.0.0 flushed
        > XCLIENT ADDR=192.0.2 NAME=x
        501 5.5.4 cannot take ADDR=192.0.2
        > XCLIENT NAME=out.example.net HELO=client.example.net
        220 mail.example.org LMTP Redoubt
        > XCLIENT ADDR=IPV6:2001:db8::7 PORT=25 PROTO=ESMTP LOGIN=[UNAVAILABLE]
        220 mail.example.org LMTP Redoubt
        > MAIL FROM:<a@b>
        503 5.5.1 LHLO first
        > XCLIENT ADDR=127.0.0.1
        550 5.7.0 you are not trusted to speak for others
        {BEGUN_ANEW}"
    );
    let mail = after_lhlo(&said).await.mails().remove(0);
    let client = Some("2001:db8::7".parse().unwrap());
    assert_eq!((mail.envelope.client_address, mail.actor.from), (client, client));
    assert_eq!(mail.envelope.client_name, "client.example.net");
    let trace = String::from_utf8(mail.trace.to_vec()).unwrap();
    let from = "from client.example.net (out.example.net [IPv6:2001:db8::7])";
    assert!(trace.contains(from), "{trace}");
}

#[tokio::test]
async fn a_client_whose_address_the_proxy_does_not_know() {
    let said = format!(
        "> XCLIENT ADDR=[UNAVAILABLE] NAME=[UNAVAILABLE]
        220 …
        > XCLIENT ADDR=127.0.0.1
        550 5.7.0 …
        {BEGUN_ANEW}"
    );
    let mail = after_lhlo(&said).await.mails().remove(0);
    assert_eq!((mail.envelope.client_address, mail.actor.from), (None, None));
}

#[tokio::test]
async fn a_server_that_is_cut_off_sends_mtas_elsewhere() {
    let client = connect();
    let (mut socket, fake) = (client.socket, client.fake);
    socket.write_all(b"LHLO x\r\nMAIL FROM:<a@b>\r\n").await.unwrap();
    let mut said = String::new();
    while !said.ends_with("sender ok\r\n") {
        said.push(char::from(socket.read_u8().await.unwrap()));
    }
    fake.cut_off();
    let mut rest = String::new();
    socket.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("421 4.3.2 "), "{rest}");
    client.session.await.unwrap();
    let (connection, mut socket) =
        pipe(Limits::default(), None, Arc::default(), CancellationToken::new()).unwrap();
    Arc::new(Lmtp::new(fake, options())).serve(connection).await;
    let mut greeting = String::new();
    socket.read_to_string(&mut greeting).await.unwrap();
    assert!(greeting.starts_with("421 4.3.2 "), "{greeting}");
}
