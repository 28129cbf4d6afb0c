"""`python -m recognition`."""

from recognition.main import main

if __name__ == "__main__":
    main()
