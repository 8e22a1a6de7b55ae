// Package logmanager is the log of the groups that a process is a member of: the recent entries in
// memory (Tail), the order of its writes, and its storage (Store).
//
// The default storage, Segments, keeps the logs and hard states of all groups in one ordered stream
// of batches, in files of fixed size that were allocated beforehand and, unless they are needed too
// soon, filled with zeros: a write is one overwrite and one fdatasync, whatever it is for, and
// changes nothing of the file system's own structures. docs/FORMAT.md describes the files byte by
// byte.
//
// It corresponds to com.alipay.sofa.jraft.storage: LogManager, LogStorage and RaftMetaStorage.
package logmanager
