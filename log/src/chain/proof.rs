//! Inclusion proofs (RFC 6962 section 2.1.1; verification as in RFC 9162
//! section 2.1.3.2).

use super::{Hash, Tree, node};

/// The root over these leaves.
pub fn root_of(leaves: &[Hash]) -> Hash {
    let mut tree = Tree::default();
    leaves.iter().for_each(|leaf| tree.push(*leaf));
    tree.root()
}

/// The hashes that lead from the leaf at `position` (the first is 0) to the
/// root over all these leaves, the lowest first; `None` when there is no such leaf.
pub fn inclusion_proof(leaves: &[Hash], position: usize) -> Option<Vec<Hash>> {
    let mut proof = Vec::new();
    let (mut range, mut position) = (leaves, position);
    if position >= range.len() {
        return None;
    }
    while range.len() > 1 {
        let (left, right) = range.split_at_checked(split(range.len()))?;
        if position < left.len() {
            proof.push(root_of(right));
            range = left;
        } else {
            proof.push(root_of(left));
            position -= left.len();
            range = right;
        }
    }
    proof.reverse();
    Some(proof)
}

/// The largest power of two below `len`, for `len` of at least 2.
fn split(len: usize) -> usize {
    1 << (len - 1).ilog2()
}

/// Whether `proof` shows that `leaf` stands at `position` of the tree of `size`
/// leaves with this root.
pub fn verify_inclusion(
    leaf: &Hash,
    position: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> bool {
    if position >= size {
        return false;
    }
    let (mut index, mut last, mut top) = (position, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            top = node(sibling, &top);
            let skip = if index & 1 == 1 { 0 } else { index.trailing_zeros() };
            index >>= skip;
            last >>= skip;
        } else {
            top = node(&top, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && top == *root
}

/// Whether `proof` shows that the tree of `old` leaves with root `old_root` is the beginning of
/// that of `size` leaves with root `root` (RFC 9162 section 2.1.4.2).
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    size: u64,
    root: &Hash,
    proof: &[Hash],
) -> bool {
    if old == size {
        return proof.is_empty() && old_root == root;
    }
    if old == 0 || old > size {
        return false;
    }
    let mut path = proof.iter();
    let first = if old.is_power_of_two() { Some(old_root) } else { path.next() };
    let Some(first) = first else { return false };
    let skip = (old - 1).trailing_ones();
    let (mut index, mut last) = ((old - 1) >> skip, (size - 1) >> skip);
    let (mut before, mut after) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if index & 1 == 1 || index == last {
            before = node(sibling, &before);
            after = node(sibling, &after);
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            after = node(&after, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    last == 0 && before == *old_root && after == *root
}
