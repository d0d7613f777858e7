#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

fn leaves(count: u64) -> Vec<Hash> {
    (0..count)
        .map(|i| {
            let content = content(&i.to_le_bytes());
            leaf(Term(1), LogIndex(i), 2, Timestamp(i64::try_from(i).unwrap()), &content)
        })
        .collect()
}

/// RFC 6962 section 2.1, word for word.
fn naive(leaves: &[Hash]) -> Hash {
    match leaves.len() {
        0 => hash(&[]),
        1 => leaves[0],
        n => {
            let k = (0..64).map(|bit| 1_usize << bit).take_while(|k| *k < n).last().unwrap();
            node(&naive(&leaves[..k]), &naive(&leaves[k..]))
        }
    }
}

#[test]
fn the_tree_is_that_of_rfc_6962() {
    let leaves = leaves(130);
    let mut tree = Tree::default();
    assert_eq!(tree.root(), naive(&[]));
    for (i, leaf) in leaves.iter().enumerate() {
        tree.push(*leaf);
        assert_eq!(tree.root(), naive(&leaves[..=i]), "{} leaves", i + 1);
        let parts = Tree::from_parts(tree.size(), tree.peaks().to_vec());
        assert_eq!(parts.as_ref(), Some(&tree));
    }
    assert_eq!(Tree::from_parts(3, vec![leaves[0]]), None);
}

#[test]
fn every_leaf_is_proven_and_nothing_else() {
    for size in 1..=40_u64 {
        let leaves = leaves(size);
        let root = root_of(&leaves);
        for position in 0..size {
            let leaf = &leaves[usize::try_from(position).unwrap()];
            let proof = inclusion_proof(&leaves, usize::try_from(position).unwrap()).unwrap();
            assert!(verify_inclusion(leaf, position, size, &proof, &root), "{position} of {size}");
            altered(leaf, position, size, &proof, &root);
        }
        assert_eq!(inclusion_proof(&leaves, leaves.len()), None);
    }
}

fn altered(leaf: &Hash, position: u64, size: u64, proof: &[Hash], root: &Hash) {
    let other = content(b"other");
    assert!(!verify_inclusion(&other, position, size, proof, root));
    assert!(!verify_inclusion(leaf, position, size, proof, &other));
    assert!(!verify_inclusion(leaf, size, size, proof, root));
    for wrong in (0..size).filter(|wrong| *wrong != position) {
        assert!(!verify_inclusion(leaf, wrong, size, proof, root), "{wrong} for {position}");
    }
    for i in 0..proof.len() {
        let mut changed = proof.to_vec();
        changed[i] = other;
        assert!(!verify_inclusion(leaf, position, size, &changed, root));
        changed.remove(i);
        assert!(!verify_inclusion(leaf, position, size, &changed, root));
    }
    let longer = [proof, &[other]].concat();
    assert!(!verify_inclusion(leaf, position, size, &longer, root));
}

#[test]
fn a_leaf_depends_on_all_that_it_covers() {
    let base = leaf(Term(1), LogIndex(2), 3, Timestamp(4), &content(b"x"));
    assert_ne!(base, leaf(Term(2), LogIndex(2), 3, Timestamp(4), &content(b"x")));
    assert_ne!(base, leaf(Term(1), LogIndex(3), 3, Timestamp(4), &content(b"x")));
    assert_ne!(base, leaf(Term(1), LogIndex(2), 4, Timestamp(4), &content(b"x")));
    assert_ne!(base, leaf(Term(1), LogIndex(2), 3, Timestamp(5), &content(b"x")));
    assert_ne!(base, leaf(Term(1), LogIndex(2), 3, Timestamp(4), &content(b"y")));
}

/// Fixed for good: a change here breaks every log that was ever written.
#[test]
fn the_hashes_are_fixed() {
    let mut head = Head::default();
    for leaf in leaves(3) {
        head.push(Timestamp(0), &leaf);
    }
    assert_eq!(
        head.chain.to_string(),
        "362dd8be495231ade53d290c1073a85751373a01442f2ec55cfcc713c8658fcb"
    );
    assert_eq!(
        head.root().to_string(),
        "0df97ae253de9652da25cad707bff7c83d221ff643ab2a9379a3adca466833d3"
    );
}

/// The leaves at positions, of all.
fn of(leaves: &[Hash]) -> impl FnMut(std::ops::Range<u64>) -> Result<Vec<Hash>, ()> {
    move |range| {
        assert_eq!(range.start / BLOCK, (range.end - 1) / BLOCK, "within one block");
        let (from, to) =
            (usize::try_from(range.start).unwrap(), usize::try_from(range.end).unwrap());
        Ok(leaves[from..to].to_vec())
    }
}

#[test]
fn every_past_size_has_its_root_and_proofs() {
    let all = leaves(1100);
    for purged in [0_u64, 1, 255, 256, 257, 700, 1024] {
        let base = all[..usize::try_from(purged).unwrap()].iter();
        let mut grove = Grove::new(base.fold(Tree::default(), |mut tree, leaf| {
            tree.push(*leaf);
            tree
        }));
        all[usize::try_from(purged).unwrap()..].iter().for_each(|leaf| grove.push(*leaf));
        assert_eq!((grove.first(), grove.size()), (purged, 1100));
        for size in [purged.max(1), 703, 768, 1023, 1025, 1100].into_iter().filter(|n| *n >= purged)
        {
            proves(&grove, &all, purged, size);
        }
    }
}

fn proves(grove: &Grove, all: &[Hash], purged: u64, size: u64) {
    let before = &all[..usize::try_from(size).unwrap()];
    let root = root_of(before);
    assert_eq!(grove.root(size, &mut of(all)), Ok(Some(root)), "{size} behind {purged}");
    for position in (0..size).step_by(37).chain([size - 1]) {
        let proof = grove.inclusion(position, size, &mut of(all)).unwrap();
        if position < purged {
            assert_eq!(proof, None, "{position} is purged");
            continue;
        }
        let place = usize::try_from(position).unwrap();
        assert_eq!(proof, inclusion_proof(before, place), "{position} of {size} behind {purged}");
        assert!(verify_inclusion(&all[place], position, size, &proof.unwrap(), &root));
    }
    assert_eq!(grove.inclusion(size, size, &mut of(all)), Ok(None));
    assert_eq!(grove.inclusion(0, 1101, &mut of(all)), Ok(None));
}

#[test]
fn a_tree_is_shown_to_go_on_from_a_smaller_one() {
    let all = leaves(300);
    let mut grove = Grove::default();
    all.iter().for_each(|leaf| grove.push(*leaf));
    for old in (1..=300_u64).step_by(7).chain([256, 255, 257, 300]) {
        let old_root = root_of(&all[..usize::try_from(old).unwrap()]);
        for size in (old..=300).step_by(11).chain([300]) {
            let root = root_of(&all[..usize::try_from(size).unwrap()]);
            let proof = grove.consistency(old, size, &mut of(&all)).unwrap().unwrap();
            assert!(verify_consistency(old, &old_root, size, &root, &proof), "{old} to {size}");
            let other = content(b"other");
            assert!(!verify_consistency(old, &other, size, &root, &proof));
            assert!(!verify_consistency(old, &old_root, size, &other, &proof));
            assert!(!verify_consistency(
                old,
                &old_root,
                size,
                &root,
                &[&proof[..], &[other]].concat()
            ));
            if old < size {
                assert!(!verify_consistency(old + 1, &old_root, size, &root, &proof));
            }
        }
    }
    assert_eq!(grove.consistency(0, 5, &mut of(&all)), Ok(None));
    assert_eq!(grove.consistency(6, 5, &mut of(&all)), Ok(None));
}
