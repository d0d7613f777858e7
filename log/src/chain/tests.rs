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
