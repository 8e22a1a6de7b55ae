// Package snapshot keeps the snapshots of one group's state on disk (§7): it publishes them whole
// or not at all, gives them back with every byte checked, hands them to other members piece by
// piece, and fetches theirs, going on where it stopped. It corresponds to sofa-jraft's
// SnapshotStorage, with its copier and file service.
//
// docs/FORMAT.md says what the files, requests and replies look like.
package snapshot
