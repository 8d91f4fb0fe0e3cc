package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"unsafe"
)

// Access rights of Landlock (Linux, include/uapi/linux/landlock.h).
const (
	fsExecute  = 1 << 0
	fsWrite    = 1 << 1
	fsRead     = 1 << 2
	fsReadDir  = 1 << 3
	fsRefer    = 1 << 13
	fsTruncate = 1 << 14
	fsVersion1 = 1<<13 - 1
	netConnect = 1 << 1

	sysCreateRuleset, sysAddRule, sysRestrictSelf = 444, 445, 446

	rulePathBeneath = 1
	prSetNoNewPrivs = 38
	oPath           = 0x200000
)

var errNoFence = errors.New("the kernel has no Landlock (Linux 5.19 or later, not turned off): whoever may put queries can read this user's files with the SQL function file()")

// fence lets this thread, and what it executes, see only the files that the server needs, and open no TCP connection. In the application that
// we host, ClickHouse's function file() reads any path for any user, and grants do not reach it; the kernel does. The calling goroutine must be
// locked to its thread and execute a program next.
func fence(library, run, store string) error {
	abi, _, errno := syscall.RawSyscall(sysCreateRuleset, 0, 0, 1)
	if errno != 0 || abi < 2 { // version 1 refuses every rename between folders
		return errNoFence
	}
	attr := struct{ fs, net uint64 }{fs: fsVersion1 | fsRefer}
	size := unsafe.Sizeof(attr.fs)
	if abi >= 3 {
		attr.fs |= fsTruncate
	}
	if abi >= 4 {
		attr.net = netConnect
		size = unsafe.Sizeof(attr)
	}
	rules, _, errno := syscall.RawSyscall(sysCreateRuleset, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return fmt.Errorf("landlock: create a rule set: %w", errno)
	}
	defer syscall.Close(int(rules))

	exe, err := os.Executable()
	if err != nil {
		return err
	}
	const all, look, call = fsVersion1 | fsRefer | fsTruncate, fsRead | fsReadDir, fsRead | fsReadDir | fsExecute
	const device = fsRead | fsReadDir | fsWrite
	for path, access := range map[string]uint64{
		store: all, run: all,
		exe: call, library: look, "/lib": call, "/lib64": call, "/usr/lib": call, "/usr/lib64": call,
		"/etc/ld.so.cache": look, "/etc/ld.so.preload": look, "/etc/localtime": look, "/usr/share/zoneinfo": look,
		"/etc/nsswitch.conf": look, "/etc/resolv.conf": look, "/etc/hosts": look, "/etc/host.conf": look, "/etc/gai.conf": look,
		// Of other processes nothing: their environment may hold secrets. Exec keeps the process's number, so its own folder stays the same.
		fmt.Sprintf("/proc/%d", os.Getpid()): look, "/proc/meminfo": look, "/proc/cpuinfo": look, "/proc/stat": look, "/proc/loadavg": look,
		"/proc/uptime": look, "/proc/vmstat": look, "/proc/diskstats": look, "/proc/version": look, "/proc/filesystems": look, "/proc/sys": look,
		"/proc/pressure": look, "/sys": look,
		"/dev/null": device, "/dev/zero": device, "/dev/full": device, "/dev/random": device, "/dev/urandom": device, "/dev/tty": device,
		"/dev/ptmx": device, "/dev/pts": device,
	} {
		if err := allow(rules, path, access&attr.fs); err != nil {
			return err
		}
	}
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, prSetNoNewPrivs, 1, 0, 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: no new privileges: %w", errno)
	}
	if _, _, errno := syscall.RawSyscall(sysRestrictSelf, rules, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: restrict: %w", errno)
	}
	return nil
}

// allow adds a path to the rules, if it exists.
func allow(rules uintptr, path string, access uint64) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	fd, err := syscall.Open(path, oPath|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	defer syscall.Close(fd)
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		access &= fsExecute | fsWrite | fsRead | fsTruncate
	}
	// The kernel's struct is packed: 12 bytes, no padding after the second field that it would look at.
	beneath := struct {
		access uint64
		parent int32
	}{access, int32(fd)}
	if _, _, errno := syscall.RawSyscall6(sysAddRule, rules, rulePathBeneath, uintptr(unsafe.Pointer(&beneath)), 0, 0, 0); errno != 0 {
		return fmt.Errorf("landlock: allow %s: %w", path, errno)
	}
	return nil
}

// behindFence starts this program again with the same arguments and "--fenced" in the same process, behind the fence. It returns only with an error.
func behindFence(library, run, store string) error {
	runtime.LockOSThread()
	if err := fence(library, run, store); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	return syscall.Exec("/proc/self/exe", append(append([]string{}, os.Args...), "--fenced"), os.Environ())
}
