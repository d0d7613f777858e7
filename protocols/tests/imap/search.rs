use crate::world::World;

#[tokio::test]
async fn keys_find_what_they_mean() {
    let world = World::new().await;
    let mut alice = world.inbox(4).await;
    alice.ok("STORE 2 +FLAGS (\\Flagged urgent)").await;
    for (key, expected) in [
        ("ALL", "* SEARCH 1 2 3 4"),
        ("FLAGGED", "* SEARCH 2"),
        ("NOT FLAGGED", "* SEARCH 1 3 4"),
        ("KEYWORD URGENT", "* SEARCH 2"),
        ("SUBJECT \"NUMBER 3\"", "* SEARCH 3"),
        ("BODY \"body of 4\"", "* SEARCH 4"),
        ("TEXT blurdybloop 2:3", "* SEARCH 2 3"),
        ("OR UID 1 SUBJECT \"number 4\"", "* SEARCH 1 4"),
        ("UNSEEN RECENT 3:*", "* SEARCH 3 4"),
        ("SENTON 7-Feb-1994", "* SEARCH 1 2 3 4"),
        ("BEFORE 1-Jan-2000", "* SEARCH"),
        ("YOUNGER 3600", "* SEARCH 1 2 3 4"),
        ("OLDER 3600", "* SEARCH"),
        ("CHARSET UTF-8 FROM foobar UNKEYWORD urgent LARGER 10", "* SEARCH 1 3 4"),
    ] {
        alice.says(&format!("SEARCH {key}"), &[expected]).await;
    }
    alice.says("UID SEARCH UID 3:4 UNSEEN", &["* SEARCH 3 4"]).await;
    alice.refused("SEARCH CHARSET X-NONE ALL", "NO [BADCHARSET").await;
    alice.refused("SEARCH", "BAD").await;
    world.stop().await;
}

#[tokio::test]
async fn esearch_returns_what_was_asked_for() {
    let world = World::new().await;
    let mut alice = world.inbox(4).await;
    alice.ok("EXPUNGE").await;
    alice.send("x UID SEARCH RETURN (MIN MAX COUNT) 2:4\r\n").await;
    let said = alice.until("x").await;
    assert!(said.starts_with("* ESEARCH (TAG \"x\") UID MIN 2 MAX 4 COUNT 3\r\n"), "{said}");
    alice.send("y SEARCH RETURN () NOT 2\r\n").await;
    let said = alice.until("y").await;
    assert!(said.starts_with("* ESEARCH (TAG \"y\") ALL 1,3:4\r\n"), "{said}");
    alice.send("z SEARCH RETURN (MIN COUNT) DELETED\r\n").await;
    let said = alice.until("z").await;
    assert!(said.starts_with("* ESEARCH (TAG \"z\") COUNT 0\r\n"), "{said}");
    let modseq = alice.ok("SEARCH MODSEQ 1").await;
    assert!(modseq.contains("* SEARCH 1 2 3 4 (MODSEQ "), "{modseq}");
    world.stop().await;
}

/// RFC 9394: whatever page is asked for, it is that of the whole list.
#[tokio::test]
async fn pages_are_parts_of_what_is_found() {
    let world = World::new().await;
    let mut alice = world.inbox(7).await;
    alice.ok("STORE 2,5 +FLAGS (\\Deleted)").await;
    alice.ok("STORE 3 +FLAGS (\\Flagged)").await;
    let mut pages = 0;
    for keys in ["ALL", "UNFLAGGED", "BODY body", "DELETED", "FLAGGED DELETED"] {
        let all = alice.ok(&format!("UID SEARCH {keys}")).await;
        let line = all.lines().find_map(|line| line.strip_prefix("* SEARCH")).unwrap();
        let all: Vec<u32> = line.split_whitespace().map(|uid| uid.parse().unwrap()).collect();
        for (first, last) in [(1, 1), (1, 3), (4, 2), (7, 7), (8, 9), (1, 4_294_967_295)] {
            let (low, high) = (usize::min(first, last) - 1, usize::max(first, last).min(all.len()));
            let forward: Vec<u32> = all.iter().copied().take(high).skip(low).collect();
            let mut back: Vec<u32> = all.iter().rev().copied().take(high).skip(low).collect();
            back.reverse();
            for (range, page) in
                [(format!("{first}:{last}"), forward), (format!("-{first}:-{last}"), back)]
            {
                let asked = format!("UID SEARCH RETURN (PARTIAL {range} SAVE) {keys}");
                let said = alice.ok(&asked).await;
                let told = said.split_once(&format!("UID PARTIAL ({range} ")).unwrap().1;
                let told = told.split_once(')').unwrap().0;
                assert_eq!(numbers(told), page, "{asked}: {said}");
                let saved = alice.ok("UID SEARCH $").await;
                let saved = saved.lines().find_map(|line| line.strip_prefix("* SEARCH")).unwrap();
                let saved: Vec<u32> =
                    saved.split_whitespace().map(|uid| uid.parse().unwrap()).collect();
                assert_eq!(saved, page, "{asked}");
                pages += usize::from(!page.is_empty());
            }
        }
    }
    assert!(pages > 30, "{pages}");
    world.stop().await;
}

fn numbers(set: &str) -> Vec<u32> {
    if set == "NIL" {
        return Vec::new();
    }
    let range = |range: &str| {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        first.parse::<u32>().unwrap()..=last.parse().unwrap()
    };
    set.split(',').flat_map(range).collect()
}
