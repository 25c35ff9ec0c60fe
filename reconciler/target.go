// SPDX-FileCopyrightText: The writ authors
// SPDX-License-Identifier: Apache-2.0

package reconciler

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/writ-sec/writ/compiler"
	"github.com/writ-sec/writ/schema/bundle"
)

// Target is a place where policy is put in force. Its methods are not called concurrently.
type Target interface {
	// Name tells targets apart in messages.
	Name() string
	// Current returns the digest of the bundle that is in force there, verified as well as the target can; "" when there is none or
	// it is damaged. After an error the bundle is applied anyway.
	Current(ctx context.Context) (digest string, err error)
	// Apply puts the bundle in force there, as a whole or not at all.
	Apply(ctx context.Context, b *bundle.Bundle) error
}

// Folder is a target that holds the bundle as files in a folder, for tools and for eyes.
type Folder struct {
	Path string
}

// Name returns the folder's path.
func (f Folder) Name() string { return "folder " + f.Path }

// Current reads the bundle in the folder and verifies every file of it.
func (f Folder) Current(context.Context) (string, error) {
	b, err := bundle.Read(os.DirFS(f.Path))
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, bundle.ErrDamaged):
		return "", nil // Apply makes it whole
	case err != nil:
		return "", fmt.Errorf("read bundle in %s: %w", f.Path, err)
	}
	return b.Manifest.Digest, nil
}

// Apply writes the bundle. A reader sees the old or the new one.
func (f Folder) Apply(_ context.Context, b *bundle.Bundle) error {
	return compiler.WriteFolder(f.Path, b)
}
